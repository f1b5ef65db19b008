"""The answers to requests that reach no view of the API, in its one error shape (docs/api.md).

The codes and texts of the API's own refusals are in `validator/exceptions.py`.
"""

from typing import Final

Body = dict[str, str]

BAD_REQUEST: Final[Body] = {
    "code": "bad_request",
    "detail": "The request is not acceptable.",
}
#: What gunicorn cannot read as HTTP. Clients get one code for both.
UNREADABLE: Final[Body] = {
    "code": "bad_request",
    "detail": "This is not a request that we can read.",
}
NOT_FOUND: Final[Body] = {
    "code": "not_found",
    "detail": "There is nothing at this path.",
}
INTERNAL_ERROR: Final[Body] = {
    "code": "internal_error",
    "detail": "Something went wrong on our side.",
}
