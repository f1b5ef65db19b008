"""Django's WSGI handler, for requests that Django itself does not expect."""

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


class Request(WSGIRequest):
    """A request that a Content-Type which cannot be read does not stop: views look at it."""

    def _set_content_type_params(self, meta: dict[str, object]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc] # the stubs lack it
        except (TypeError, ValueError):  # parameters that are not as RFC 2231 has them
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    request_class = Request
