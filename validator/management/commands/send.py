"""`manage.py send`: sends a test message as a client would."""

import argparse
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cpsite import json_text
from cpsite.cli import positive
from cpsite.message import CONTENT_TYPE
from validator.contracts import Served, contracts
from validator.fields import Choice, DateTime, Kind, Text
from validator.tokens import InvalidTokens, parse_tokens, read_parameter

#: Timeout of one request in seconds, longer than the validator waits for SQS.
TIMEOUT: Final = 15
#: Seconds between two requests for the status of the message.
POLL_SECONDS: Final = 0.5


class Answer(NamedTuple):
    """The validator's answer."""

    status: int
    body: dict[str, Any]


class Command(BaseCommand):
    help = (
        "Send one message to a validator, as a client would, and print the answer. The token comes "
        "from CPSITE_TOKEN in the environment, else it is the first one of API_TOKENS or "
        "API_TOKENS_PARAMETER (see --client). It is never printed. Exit status: 0 when the message "
        "was accepted and, with --wait, stored; 2 for a wrong option; else 1."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        port = os.environ.get("PORT", "8000")
        parser.add_argument(
            "--url",
            default=f"http://127.0.0.1:{port}/",
            help="URL of the validator (default: %(default)s)",
        )
        parser.add_argument(
            "--client", metavar="NAME", help="use the configured token of this client"
        )
        served = contracts()
        parser.add_argument(
            "--contract",
            choices=[contract.name for contract in served],
            default=served[0].name,
            help="what to send (default: %(default)s)",
        )
        parser.add_argument(
            "--data",
            type=argparse.FileType(encoding="utf-8"),
            metavar="FILE",
            help="send the JSON object in FILE, unchanged; - reads standard input",
        )
        parser.add_argument(
            "--wait",
            type=positive,
            nargs="?",
            const=60,
            metavar="SECONDS",
            help="wait until the message is stored, at most SECONDS (60 if no number is given)",
        )
        # Last, so that a field of the name of an option gives way.
        _add_fields(parser, served)

    def handle(self, *args: Any, **options: Any) -> None:
        root = options["url"].rstrip("/") + "/"
        if not root.startswith(("http://", "https://")):
            raise CommandError("--url must start with http:// or https://.", returncode=2)
        token = _token(options["client"])
        contract = next(each for each in contracts() if each.name == options["contract"])
        data = options["data"].read() if options["data"] else _data(contract, options)
        try:
            message_id = self._send(root + contract.path[1:], token, data)
            if options["wait"]:
                self._wait(f"{root}messages/{message_id}/", token, options["wait"])
        except KeyboardInterrupt:
            self.stderr.write("Interrupted.")
            raise SystemExit(130) from None

    def _send(self, url: str, token: str, data: str) -> str:
        answer = _request(url, token, body=f'{{"data": {data}}}')
        self.stdout.write(f"{answer.status} {json.dumps(answer.body)}")
        if answer.status != 202:  # noqa: PLR2004 - Accepted
            raise CommandError(f"The message was not accepted.{_hint(answer)}")
        return str(answer.body["message_id"])

    def _wait(self, url: str, token: str, seconds: int) -> None:
        until = time.monotonic() + seconds
        while True:
            answer = _request(url, token)
            if answer.body.get("status") == "stored":
                self.stdout.write(f"stored as {answer.body['object_key']}")
                return
            if answer.status in {401, 403} or time.monotonic() >= until:
                said = answer.body.get("status") or answer.body.get("code") or answer.status
                raise CommandError(f"Not stored after {seconds} s: {said}.")
            time.sleep(POLL_SECONDS)


def _add_fields(parser: CommandParser, served: Sequence[Served]) -> None:
    """Add an option for each field of each contract; those of the same name share one."""
    fields: dict[str, Kind] = {}
    for contract in reversed(served):
        fields |= contract.fields
    for name, field in fields.items():
        # An option of the command keeps its name: such a field is sent with --data.
        with suppress(argparse.ArgumentError):
            parser.add_argument(
                f"--{name}",
                dest=_PREFIX + name,
                metavar="TEXT" if isinstance(field, _TEXTS) else "JSON",
                help=_help_of(field),
            )


def _help_of(field: Kind) -> str:
    default = json_text.write(field.example) if field.required else "not sent"
    return f"a value that begins with - goes after = (default: {default})".replace("%", "%%")


#: Of the options of fields among all options.
_PREFIX: Final = "field "
#: What is sent in quotes.
_TEXTS: Final = (Text, Choice, DateTime)


def _data(contract: Served, options: Mapping[str, Any]) -> str:
    """Return the data from the options, with the examples of required fields without one."""
    members = {}
    for name, field in contract.fields.items():
        given = options.get(_PREFIX + name)
        if given is None:
            if field.required:
                members[name] = json_text.write(field.example)
        else:
            members[name] = json_text.write(given) if isinstance(field, _TEXTS) else given
    return f"{{{', '.join(f'{json_text.write(name)}: {text}' for name, text in members.items())}}}"


def _hint(answer: Answer) -> str:
    """Say where an unknown token may come from: a shell that was set up for another cpsite."""
    is_unknown = answer.body.get("code") == "token_unknown"
    if not (is_unknown and os.environ.get("CPSITE_TOKEN")):
        return ""
    return " CPSITE_TOKEN is set; without it, or with --client, a token of API_TOKENS is used."


def _token(client: str | None) -> str:
    """Return the token to use. Raises CommandError when there is none."""
    if not client and (token := os.environ.get("CPSITE_TOKEN")):
        return token
    try:
        text = settings.API_TOKENS
        if not text and settings.API_TOKENS_PARAMETER:
            text = read_parameter()
        clients = parse_tokens(text) if text else {}
    except InvalidTokens as exc:
        raise CommandError(f"The configured tokens cannot be used: {exc}.") from None
    except (ClientError, BotoCoreError) as exc:
        raise CommandError(f"API_TOKENS_PARAMETER cannot be read: {type(exc).__name__}.") from None
    if not clients:
        raise CommandError("There is no token: set CPSITE_TOKEN, or API_TOKENS.")
    if client and client not in clients:
        raise CommandError(
            f"No token is configured for {client}. Known are: {', '.join(clients)}.", returncode=2
        )
    return clients[client or next(iter(clients))][0]


def _request(url: str, token: str, *, body: str | None = None) -> Answer:
    """Send a GET or, with a body, a POST. Raises CommandError."""
    request = urllib.request.Request(  # noqa: S310 - `handle` has checked the scheme
        url,
        data=None if body is None else body.encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": CONTENT_TYPE,
            "Accept": CONTENT_TYPE,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            return Answer(response.status, _json(response.read(), url))
    except urllib.error.HTTPError as exc:
        return Answer(exc.code, _json(exc.read(), url))
    except (urllib.error.URLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or type(exc).__name__
        raise CommandError(f"{url} does not answer: {reason}.") from None


def _json(content: bytes, url: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise CommandError(f"{url} is not a validator: its answer is not JSON.")
    return document
