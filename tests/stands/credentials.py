"""Where credentials come from: instance metadata, the agent of a container, and STS."""

import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.stands.server import Answer, Request, Stand

_PATH = "/latest/meta-data/iam/security-credentials/"


def _timestamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Issued(NamedTuple):
    access_key: str
    secret_key: str
    token: str
    expiration: str


class _Issuer(Stand):
    """Issues new credentials at each look-up, which live `lifetime` seconds.

    With `access_key` it issues this key each time, which is its own secret, and no token.

    `state` is "ok", "down" (503), "refused" (404), "hangs", "empty" or "expired" (what it issues
    has expired).
    """

    def __init__(self, *, state: str = "ok", lifetime: float = 3600, access_key: str = "") -> None:
        super().__init__()
        self.state = state
        self.lifetime = lifetime
        self.access_key = access_key
        #: Expiry of each access key that was issued, as Unix time.
        self.issued: dict[str, float] = {}
        self._numbers = itertools.count(1)

    def failure(self) -> Answer | None:
        return {
            "down": Answer(503, '{"message":"no"}'),
            "refused": Answer(404, "not found"),
            "hangs": Answer(hangs=True),
            "empty": Answer(200, "{}"),
        }.get(self.state)

    def issue(self) -> "_Issued":
        """Return new credentials."""
        key = self.access_key or f"ASIASTAND{next(self._numbers):07d}"
        expiry = time.time() + (-60 if self.state == "expired" else self.lifetime)
        self.issued[key] = expiry
        token = "" if self.access_key else f"token-{key}"
        return _Issued(key, self.access_key or "secret", token, _timestamp(expiry))


class Metadata(_Issuer):
    """EC2's instance metadata (IMDSv2) and ECS's container endpoint, by path."""

    content_type = "application/json"

    def environment(self) -> dict[str, str]:
        """Return the variables that point a service at the instance metadata."""
        return {
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
        }

    def container_environment(self) -> dict[str, str]:
        """Return the variables of a task that has a role."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/role"}

    def answer(self, request: Request) -> Answer:
        if failure := self.failure():
            return failure
        if request.method == "PUT":
            return Answer(200, "token")
        if request.path == _PATH:
            return Answer(200, "role")
        issued = self.issue()
        return Answer(
            200,
            json.dumps(
                {
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "LastUpdated": issued.expiration,
                    "AccessKeyId": issued.access_key,
                    "SecretAccessKey": issued.secret_key,
                    "Token": issued.token,
                    "Expiration": issued.expiration,
                }
            ),
        )


class Sts(_Issuer):
    """STS's AssumeRoleWithWebIdentity."""

    content_type = "text/xml"

    def environment(self, scratch: Path) -> dict[str, str]:
        """Return the variables of a pod with an identity token."""
        token = scratch / "identity-token"
        token.write_text("identity")
        return {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/cpsite",
            "AWS_ROLE_SESSION_NAME": "cpsite",
            "AWS_ENDPOINT_URL_STS": self.url,
        }

    def answer(self, request: Request) -> Answer:
        if failure := self.failure():
            return failure
        issued = self.issue()
        return Answer(
            200,
            "<AssumeRoleWithWebIdentityResponse "
            'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>'
            f"<Credentials><AccessKeyId>{issued.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{issued.secret_key}</SecretAccessKey>"
            f"<SessionToken>{issued.token}</SessionToken>"
            f"<Expiration>{issued.expiration}</Expiration>"
            "</Credentials><AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId>"
            "<Arn>arn:aws:sts::1:assumed-role/r/x</Arn></AssumedRoleUser>"
            "</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId>"
            "</ResponseMetadata></AssumeRoleWithWebIdentityResponse>",
        )
