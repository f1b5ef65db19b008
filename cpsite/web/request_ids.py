"""The id of a request: its client's own (X-Request-ID), or a new one."""

import re
import uuid
from typing import Final

_ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._:=-]{1,128}")


def identifier_of(given: str) -> str:
    """Return `given`, the value of X-Request-ID, or a new id if there is none.

    An id that could break or bloat a log line is replaced, not repaired.
    """
    return given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
