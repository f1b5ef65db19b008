"""gunicorn's response, but with the head and the body of a short answer in one send."""

from typing import Any

from gunicorn.http import wsgi


class Response(wsgi.Response):  # type: ignore[misc] # untyped
    """Sends its head together with the first piece of its body.

    gunicorn sends them one after the other. That is one more system call for each answer, and a
    client that loses the connection in between has a status without the reason for it.
    """

    def write(self, arg: Any) -> None:
        if self.headers_sent:
            super().write(arg)
        else:
            with self.sock.gathered():
                super().write(arg)
