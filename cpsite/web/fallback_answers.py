"""The answers to requests that reach no view of the API, in its one error shape (docs/api.md).

The codes and texts of the API's own refusals are in `validator/exceptions.py`.
"""

from typing import Final

Body = dict[str, str]

BAD_REQUEST: Final[Body] = {
    "code": "bad_request",
    "detail": "The request is not acceptable.",
}
NOT_FOUND: Final[Body] = {
    "code": "not_found",
    "detail": "There is nothing at this path.",
}
INTERNAL_ERROR: Final[Body] = {
    "code": "internal_error",
    "detail": "Something went wrong on our side.",
}
#: More messages or bytes of bodies are in flight than the process has CPU or memory for.
OVERLOADED: Final[Body] = {
    "code": "overloaded",
    "detail": "Too much is being received at the moment. Send it again.",
}


def unreadable(detail: str | None = None) -> Body:
    """Return the answer to what cannot be read as HTTP. Its code is that of BAD_REQUEST."""
    return {**BAD_REQUEST, "detail": detail or "This is not a request that we can read."}


def body_too_large(longest: int) -> Body:
    """Return the answer to a body of more than `longest` bytes; the API's own has its code."""
    return {"code": "body_too_large", "detail": f"The body is longer than {longest} bytes."}


def not_found(method: str | None, path: str) -> Body:
    """Return NOT_FOUND, with the path that a request with this method may have been meant for."""
    if method not in {"GET", "HEAD"}:
        right = "Send messages by POST to the path /."
    elif path.startswith("/messages"):
        right = "GET /messages/<message_id>/ asks for a message, by the message_id of its 202."
    else:
        right = "/docs/ shows all of the API."
    return NOT_FOUND | {"detail": f"There is nothing at this path. {right}"}
