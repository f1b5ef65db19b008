"""The credentials of all AWS clients: looked up and renewed aside, again and again if need be.

botocore looks for credentials once, when a client is made, and keeps `None` for ever if no provider
answers at that moment. It renews them in the thread of a call, with time-outs of a minute, and
raises RuntimeError for some failures. So all sessions get `RenewedCredentials` instead, which has
botocore's own chain of providers look in a thread aside.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials, create_credential_resolver
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import Session
from django.conf import settings

logger = logging.getLogger(__name__)

#: Longest time in seconds that a call waits for credentials when none are valid.
WAIT_SECONDS: Final = 2.0
#: Credentials are renewed so many seconds before they expire, as botocore does, or after half of
#: their life, whichever is later.
RENEW_SECONDS: Final = 900.0
#: Longest pause in seconds between two look-ups that fail.
PAUSE_SECONDS_MAX: Final = 15.0
#: After AWS has refused the credentials, they are looked up at most once in so many seconds.
DISTRUST_SECONDS: Final = 5.0

#: Of the clients that providers make, such as STS's and SSO's.
_CLIENT_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2}
)


class CredentialsUnavailable(BotoCoreError):
    """There are no valid credentials now. A later call may find some.

    `reason` is the code or class of the last failure; the text quotes nothing else.
    """

    fmt = "no valid AWS credentials ({reason})"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason

    def __reduce__(self) -> tuple[type["CredentialsUnavailable"], tuple[str]]:
        return CredentialsUnavailable, (self.reason,)


@dataclass(frozen=True, slots=True)
class Found:
    """Credentials, and when they expire, as Unix time in seconds; None if never."""

    frozen: ReadOnlyCredentials
    expires_at: float | None


def look_up() -> Found:
    """Ask botocore's providers once, from the beginning. Raises whatever they raise."""
    # A new session: it reads profiles and files again, which may have been mended meanwhile.
    session = Session()
    session.set_default_client_config(_CLIENT_CONFIG)
    found = create_credential_resolver(session, region_name=settings.AWS_REGION).load_credentials()
    if found is None:
        raise NoCredentialsError
    frozen = found.get_frozen_credentials()
    expiry: datetime | None = getattr(found, "_expiry_time", None)
    return Found(frozen, expiry.timestamp() if expiry else None)


class RenewedCredentials:
    """Credentials as botocore's clients use them, which renew themselves. Thread-safe.

    Known credentials are used until they expire, however long it takes to find new ones. Without
    valid ones, a call waits up to WAIT_SECONDS for the look-up under way. After a failed look-up
    there is a pause, in which calls fail at once.
    """

    #: botocore reports it in the user agent, if it knows it.
    method = "cpsite"

    def __init__(self, find: Callable[[], Found] = look_up) -> None:
        self._find = find
        self._found: Found | None = None
        #: Unix time at which to look for new ones.
        self._renew_at = 0.0
        self._failures = 0
        self._reason = ""
        #: Monotonic time before which no look-up starts.
        self._not_before = 0.0
        self._trusted_until = 0.0
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin with new locks and no look-up under way, in a forked process."""
        self._changed = threading.Condition()
        self._is_looking = False

    def current(self) -> Found:
        """Return valid credentials with their expiry. Raises CredentialsUnavailable."""
        found = self._found
        if found is not None and time.time() < self._renew_at:
            return found
        with self._changed:
            self._look_aside()
            if self._valid() is None:
                self._changed.wait_for(
                    lambda: self._valid() is not None or not self._is_looking, WAIT_SECONDS
                )
            found = self._valid()
        if found is None:
            raise CredentialsUnavailable(self._reason or "no answer yet")
        return found

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return what signs a request. Raises CredentialsUnavailable."""
        return self.current().frozen

    @property
    def access_key(self) -> str:
        return str(self.get_frozen_credentials().access_key)

    @property
    def secret_key(self) -> str:
        return str(self.get_frozen_credentials().secret_key)

    @property
    def token(self) -> str | None:
        return self.get_frozen_credentials().token

    def get_deferred_property(self, name: str) -> Callable[[], object]:
        """Return a function that returns the property of this name, as botocore asks for it."""
        return lambda: getattr(self.get_frozen_credentials(), name, None)

    def distrust(self) -> None:
        """Look for others: AWS has just refused these, as expired or unknown."""
        if time.monotonic() >= self._trusted_until:
            self._renew_at = 0.0

    def _valid(self) -> Found | None:
        found = self._found
        if found is None or (found.expires_at is not None and found.expires_at <= time.time()):
            return None
        return found

    def _look_aside(self) -> None:
        """Start a look-up unless one is under way or has just failed. Holds the lock."""
        if self._is_looking or time.monotonic() < self._not_before:
            return
        self._is_looking = True
        try:
            threading.Thread(target=self._look, name="credentials", daemon=True).start()
        except RuntimeError:  # no thread can be started now
            self._is_looking = False

    def _look(self) -> None:
        found, reason = None, ""
        try:
            found = self._find()
        except ClientError as exc:
            reason = f"aws_{exc.response['Error']['Code']}"
        except Exception as exc:  # noqa: BLE001 - providers raise RuntimeError, KeyError and others
            reason = type(exc).__name__
        now = time.time()
        if found is not None and found.expires_at is not None and found.expires_at <= now:
            found, reason = None, "expired"
        with self._changed:
            self._is_looking = False
            if found is None:
                self._failed(reason)
            else:
                self._succeeded(found, now)
            self._changed.notify_all()

    def _failed(self, reason: str) -> None:
        self._failures += 1
        longest = min(PAUSE_SECONDS_MAX, 2.0 ** min(self._failures - 1, 10))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - not for secrets
        self._not_before = time.monotonic() + pause
        if reason != self._reason:
            expires_at = self._found.expires_at if self._found else 0.0
            left = None if expires_at is None else max(0, round(expires_at - time.time()))
            logger.error(
                "credentials_not_found", extra={"error": reason, "valid_for_seconds": left}
            )
        self._reason = reason

    def _succeeded(self, found: Found, now: float) -> None:
        if self._failures:
            logger.warning("credentials_are_back")
        self._failures, self._reason, self._found = 0, "", found
        self._trusted_until = time.monotonic() + DISTRUST_SECONDS
        if found.expires_at is None:
            self._renew_at = float("inf")
        else:
            left = found.expires_at - now
            self._renew_at = now + max(left - RENEW_SECONDS, left / 2)
            # Not for each call, where a provider keeps returning what expires in a moment.
            self._not_before = time.monotonic() + 1.0
