"""Django's WSGI handler, but without Django's error for an invalid Content-Type."""

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


class Request(WSGIRequest):
    """A request that is created even with an unreadable Content-Type: the views handle it."""

    def _set_content_type_params(self, meta: dict[str, object]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc] # the stubs lack it
        except (TypeError, ValueError):  # parameters that RFC 2231 does not allow
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    request_class = Request
