"""AWS's signature of a call to SQS (AWS: "Create a signed AWS API request").

botocore signs any request of any service. Here all but the action, the body, the credentials and
the time is known beforehand.
"""

import hashlib
import hmac
import time
from typing import Final

from botocore.credentials import ReadOnlyCredentials

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Signer:
    """Makes the headers of signed calls to one endpoint. Thread-safe.

    `host` is as in the Host header, with a port unless it is the scheme's own; `region` is the one
    to sign for.
    """

    def __init__(self, *, host: str, region: str) -> None:
        self._host = host
        self._region = region
        #: The last signing key, with the secret and the day that it was derived from.
        self._last_key: tuple[str, str, bytes] = ("", "", b"")

    def headers(
        self,
        action: str,
        body: bytes,
        credentials: ReadOnlyCredentials,
        *,
        moment: str | None = None,
    ) -> dict[str, str]:
        """Return the headers of a `POST /` for `action`; `moment` is now, unless given."""
        moment = moment or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": self._host,
            "x-amz-date": moment,
            "x-amz-target": f"AmazonSQS.{action}",
            # SQS then names errors as its older protocol did, as all programs know them.
            "x-amzn-query-mode": "true",
        }
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = f"POST\n/\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self._region}/sqs/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = self._key(str(credentials.secret_key), moment[:8])
        signature = _hmac(key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    def _key(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._last_key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "sqs", "aws4_request"):
                key = _hmac(key, part)
            self._last_key = (secret, day, key)
        return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
