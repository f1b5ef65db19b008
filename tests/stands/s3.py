"""S3 as a writer meets it: errors, Object Lock, expiring credentials, an endpoint with a path."""

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stands.server import Answer, Request, Stand


def error(status: int, code: str, **headers: str) -> Answer:
    """Return an error as S3 words it."""
    return Answer(
        status,
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        "<Message>private words</Message><RequestId>X</RequestId></Error>",
        headers,
    )


PERMANENT_REDIRECT = error(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-1"})
HTML_OF_A_PROXY = Answer(
    403, "<html><title>Access blocked</title></html>", {"Content-Type": "text/html"}
)


class S3(Stand):
    """Keeps the objects that are put. `answers` come first, then `always`, if it is set.

    With `locked` it wants a checksum, as a bucket with Object Lock does. With `credentials`, the
    expiry of each known access key, it refuses others. Only paths below `prefix` exist.
    """

    def __init__(
        self,
        *,
        certificate: Path | None = None,
        credentials: Callable[[], Mapping[str, float]] | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__(certificate)
        self.objects: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.always: Answer | None = None
        self.locked = False
        self.prefix = prefix
        self.refused_keys = 0
        self._credentials = credentials
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        with self._lock:
            if self.answers:
                return self.answers.pop(0)
        if self.always:
            return self.always
        return self._refusal(request) or self._put(request)

    def _put(self, request: Request) -> Answer:
        if request.method == "PUT":
            self.objects[request.path.removeprefix(self.prefix)] = request.body
        return Answer(200, "", {"ETag": '"e"'})

    def _refusal(self, request: Request) -> Answer | None:
        headers = request.headers
        if not request.path.startswith(self.prefix):
            return Answer(404, "<html>404 page not found</html>", {"Content-Type": "text/html"})
        if self.locked and not any(
            name == "content-md5" or name.startswith("x-amz-checksum-") for name in headers
        ):
            return error(400, "InvalidRequest")
        if (given := headers.get("x-amz-checksum-sha256")) is not None:
            wanted = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
            if given != wanted:
                return error(400, "BadDigest")
        if self._credentials is not None:
            key = re.search(r"Credential=([^/]+)/", headers.get("authorization", ""))
            expiry = self._credentials().get(key[1] if key else "", None)
            if expiry is None or expiry < time.time():
                self.refused_keys += 1
                return error(400, "ExpiredToken") if expiry else error(403, "InvalidAccessKeyId")
        return None
