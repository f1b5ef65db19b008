"""A few requests through the load balancer, as docs/api.md says they are answered."""

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.errors import DeployError

_TIMEOUT_SECONDS: Final = 15
#: Longest part of an answer that is looked at.
_MAX_BYTES: Final = 65_536


@dataclass(frozen=True)
class Check:
    """A request, and the answer it must have."""

    what: str
    path: str
    status: int
    #: `code` of the answer's body, where it is an error.
    code: str | None = None
    #: JSON.
    body: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class _Answer:
    #: None where none came, and why is in `failure`.
    status: int | None
    body: bytes = b""
    failure: str = ""

    @property
    def code(self) -> str | None:
        found = self.member("code")
        return found if isinstance(found, str) else None

    def member(self, name: str) -> Any:
        """Return a member of the JSON object that it is, else None."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found.get(name) if isinstance(found, dict) else None

    @property
    def may_pass(self) -> bool:
        """Whether it may be another one in a moment."""
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def fits(self, check: Check) -> bool:
        return self.status == check.status and check.code in {None, self.code}

    def __str__(self) -> str:
        if self.status is None:
            return f"not answered ({self.failure})"
        return f"{self.status} {self.code or ''}".strip()


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Gives back each answer, redirects and errors too, instead of following or raising."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


_open: Final = urllib.request.build_opener(_AsItIs).open


_HEALTH: Final = (
    Check("the process answers", "/health/live", 200),
    Check("messages can be accepted", "/health/ready", 200),
)
_DESCRIBES: Final = Check("the service describes itself", "/", 200)


def checks(token: str | None, key: str, data: str) -> Iterator[Check]:
    """Yield what is asked of a healthy service; only with a token, a message is sent.

    `data` is a valid example of what a message holds, as JSON.
    """
    message = f'{{"data": {data}}}'
    yield Check("no token is refused", "/", 401, "token_missing", message)
    yield Check("metrics stay inside", "/metrics", 404)
    if token:
        bearer = {"Authorization": f"Bearer {token}"}
        broken = '{"data": "smoke test"}'
        yield Check("a broken message is refused", "/", 400, "contract_broken", broken, bearer)
        # One message for an image, however often this runs within a day.
        keyed = bearer | {"Idempotency-Key": key}
        yield Check("a message is accepted", "/", 202, None, message, keyed)


def run(url: str, token: str | None, key: str, limit_seconds: float) -> list[str]:
    """Ask all of it; return a line for each. Raises DeployError with the first wrong answer.

    What is refused or 5xx is asked again until the time is over: a load balancer may take a
    moment to drop targets that have just ended. The token is in no text.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise DeployError(f"{url!r} is not an http or https URL")
    root, until = url.rstrip("/"), time.monotonic() + limit_seconds
    lines = [_assert(root, check, until)[0] for check in _HEALTH]
    line, described = _assert(root, _DESCRIBES, until)
    # A target of the version before, which is about to end, may have none yet.
    while not isinstance(data := described.member("example"), str):
        if time.monotonic() >= until:
            raise DeployError(f"GET / at {root} has no example of a message: is it cpsite's?")
        time.sleep(1)
        line, described = _assert(root, _DESCRIBES, until)
    return [*lines, line, *(_assert(root, check, until)[0] for check in checks(token, key, data))]


def _assert(url: str, check: Check, until: float) -> tuple[str, _Answer]:
    """Return a line about an answer that fits, and the answer."""
    while True:
        answer = _ask(url, check)
        line = f"{check.what}: {'POST' if check.body else 'GET'} {check.path} is {answer}"
        if answer.fits(check):
            print(f"  {line}", flush=True)
            return line, answer
        if not answer.may_pass or time.monotonic() >= until:
            raise DeployError(f"{line}, not {check.status} {check.code or ''}".strip())
        time.sleep(1)


def _ask(url: str, check: Check) -> _Answer:
    body = check.body.encode() if check.body else None
    json_only = {"Content-Type": "application/json", "Accept": "application/json"}
    headers = json_only | dict(check.headers or {})
    # run() has looked at the scheme.
    request = urllib.request.Request(url + check.path, body, headers)  # noqa: S310
    try:
        with _open(request, timeout=_TIMEOUT_SECONDS) as response:
            return _Answer(response.status, response.read(_MAX_BYTES))
    except (OSError, HTTPException) as error:
        return _Answer(None, failure=str(getattr(error, "reason", error)))
