"""`manage.py send`: sends a test message over HTTP, as a client would."""

import http.server
import json
import threading
from contextlib import contextmanager

import pytest
from botocore.exceptions import EndpointConnectionError
from django.core.management import CommandError, call_command

from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.recorder import recorder
from cpsite.message import Message
from tests import factories
from validator.management.commands import send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shell(monkeypatch):
    monkeypatch.delenv("CPSITE_TOKEN", raising=False)
    monkeypatch.setattr(send, "POLL_SECONDS", 0.01)


@contextmanager
def _server(*answers):
    """Answer requests with these (status, body); repeat the last one."""
    left = list(answers)
    tokens = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            tokens.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_GET = do_POST = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", tokens
    finally:
        server.shutdown()
        server.server_close()


def _published(queue):
    return [Message.decode(json.loads(body)["body"].encode()) for body in queue.bodies()]


def test_it_sends_a_message_that_is_accepted(live_server, queue, capsys):
    call_command("send", "--url", live_server.url, "--field2", "from a test")
    printed = capsys.readouterr().out
    (message,) = _published(queue)
    assert printed.startswith("202 ")
    assert str(message.message_id) in printed
    assert message.client == "alice"
    assert message.data["field2"] == "from a test"
    assert message.data["field1"] == "a"
    assert factories.ALICE not in printed


def test_it_waits_until_it_is_stored(live_server, queue, capsys, monkeypatch):
    ask = send._request

    def store_it_meanwhile(url, token, **options):
        answer = ask(url, token, **options)
        if answer.status == 202:
            AuditEvent.objects.create(
                kind=Kind.STORED,
                message_id=answer.body["message_id"],
                client="alice",
                object_key="messages/2026/11/23/x.json",
            )
        return answer

    monkeypatch.setattr(send, "_request", store_it_meanwhile)
    call_command("send", "--url", live_server.url, "--wait")
    assert "stored as messages/2026/11/23/x.json" in capsys.readouterr().out


def test_it_gives_up_waiting(live_server, queue):
    with pytest.raises(CommandError, match=r"Not stored after 1 s: (queued|message_unknown)"):
        call_command("send", "--url", live_server.url, "--wait", "1")


def test_a_refusal_is_printed_and_an_error(live_server, queue, capsys):
    with pytest.raises(CommandError, match="not accepted"):
        call_command("send", "--url", live_server.url, "--field4", " ")
    assert "data.field4" in capsys.readouterr().out
    recorder.write_pending()


@pytest.mark.parametrize(
    ("options", "environment", "token"),
    [
        ([], None, factories.ALICE),
        (["--client", "bob"], None, factories.BOB),
        ([], "a-token-of-the-shell", "a-token-of-the-shell"),
        (["--client", "bob"], "a-token-of-the-shell", factories.BOB),
    ],
)
def test_which_token_it_uses(monkeypatch, options, environment, token):
    if environment:
        monkeypatch.setenv("CPSITE_TOKEN", environment)
    with _server((202, {"message_id": "x"})) as (url, tokens):
        call_command("send", "--url", url, *options)
    assert tokens == [f"Bearer {token}"]


def test_it_reads_the_parameter_that_the_validator_reads(monkeypatch, settings):
    settings.API_TOKENS, settings.API_TOKENS_PARAMETER = "", "/cpsite/tokens"
    monkeypatch.setattr(send, "read_parameter", lambda: "a-token-of-ssm")
    with _server((202, {"message_id": "x"})) as (url, tokens):
        call_command("send", "--url", url)
    assert tokens == ["Bearer a-token-of-ssm"]


def test_an_unreadable_parameter_is_an_error(monkeypatch, settings):
    def fail():
        raise EndpointConnectionError(endpoint_url="https://ssm")

    settings.API_TOKENS, settings.API_TOKENS_PARAMETER = "", "/cpsite/tokens"
    monkeypatch.setattr(send, "read_parameter", fail)
    with pytest.raises(CommandError, match="cannot be read: EndpointConnectionError"):
        call_command("send")


def test_an_unknown_token_of_the_shell_is_named(live_server, queue, monkeypatch):
    monkeypatch.setenv("CPSITE_TOKEN", "a-token-of-another-cpsite")
    with pytest.raises(CommandError, match=r"not accepted\. CPSITE_TOKEN is set") as caught:
        call_command("send", "--url", live_server.url)
    assert "a-token-of" not in str(caught.value)
    call_command("send", "--url", live_server.url, "--client", "bob")
    assert [message.client for message in _published(queue)] == ["bob"]
    recorder.write_pending()


@pytest.mark.parametrize(
    "options",
    [["--client", "carol"], ["--url", "file:///x"], ["--wait", "0"], ["--contract", "nonsense"]],
    ids=" ".join,
)
def test_an_option_that_matches_nothing_is_exit_code_2(options, capsys):
    with pytest.raises(SystemExit) as caught:
        send.Command().run_from_argv(["manage.py", "send", *options])
    assert caught.value.code == 2
    if "carol" in options:
        assert "No token is configured for carol. Known are: alice, bob." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "options", "complaint"),
    [
        ("", [], "There is no token"),
        ("{not json", [], "cannot be used"),
        ("a-token-of-default", ["--client", "carol"], "No token is configured for carol"),
    ],
)
def test_without_a_token_it_sends_nothing(settings, tokens, options, complaint):
    settings.API_TOKENS = tokens
    with pytest.raises(CommandError, match=complaint):
        call_command("send", "--url", "http://127.0.0.1:1", *options)


def test_a_url_of_another_scheme_is_refused():
    with pytest.raises(CommandError, match="http://"):
        call_command("send", "--url", "file:///etc/passwd")


def test_an_unavailable_validator_is_an_error():
    with pytest.raises(CommandError, match="does not answer"):
        call_command("send", "--url", "http://127.0.0.1:1")


@pytest.mark.parametrize("answer", [b"<html>", b"[]"])
def test_another_service_is_an_error(answer):
    with (
        _server((200, answer)) as (url, _),
        pytest.raises(CommandError, match="is not a validator"),
    ):
        call_command("send", "--url", url)


def test_a_withdrawn_token_ends_the_wait():
    answers = (202, {"message_id": "x"}), (401, {"code": "token_unknown"})
    with _server(*answers) as (url, _), pytest.raises(CommandError, match="token_unknown"):
        call_command("send", "--url", url, "--wait")


def test_an_interrupt_ends_it_with_the_usual_status(monkeypatch, capsys):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(send, "_request", interrupt)
    with pytest.raises(SystemExit) as caught:
        call_command("send")
    assert caught.value.code == 130
