"""Four changes that adopters make: each is one file of theirs, and no test of ours changes."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Services
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="starts processes, or a run of tests, for each change"),
]

HEAD = """\
from validator.contracts import Contract
from validator.fields import Decimal, Text


class Message(Contract):
    \"\"\"A message for the data lake.\"\"\"

    field1 = Text(example="a")
    field2 = Text(example="b")
    field3 = Text(example="c")
    field4 = Text(example="d")
"""
ORDER = """\


class Order(Contract):
    \"\"\"An order of a customer.\"\"\"

    order_id = Text(example="o-1")
    customer = Text(example="c-1")
    amount = Decimal(example="12.10", max_digits=12, decimal_places=2)
    note = Text(example="quick", required=False, allow_null=True)
"""

#: Change → the adopter's file.
CHANGES = {
    "a fifth text field": f'{HEAD}    field5 = Text(example="e")\n\n\nCONTRACTS = [Message]\n',
    "other fields": f"{HEAD}{ORDER}\n\nCONTRACTS = [Order]\n",
    "a second contract": f"{HEAD}{ORDER}\n\nCONTRACTS = [Message, Order]\n",
}


def _get(services: Services, path: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{services.port}{path}", headers={"Accept": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _post(services: Services, path: str, data: str, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{services.port}{path}",
        f'{{"data": {data}}}'.encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


def _start(services: Services, contract: str, **environment: str) -> None:
    """Start both services with a contract that lies outside of the checkout."""
    (services.scratch / "our_contract.py").write_text(contract)
    services.environment |= {"CONTRACT_MODULE": "our_contract", "PYTHONPATH": str(services.scratch)}
    services.validator(**environment)
    services.uploader()


def _stored(services: Services, message_id: str) -> tuple[str, str]:
    key = wait_for(
        lambda: next((key for key in services.bucket.keys() if message_id in key), ""),  # noqa: SIM118
        "the object",
    )
    return key, services.bucket.read(key).decode()


@pytest.mark.parametrize("contract", CHANGES.values(), ids=CHANGES)
def test_both_services_work_with_it(services: Services, contract: str) -> None:
    _start(services, contract)
    paths = [path for path in _get(services, "/schema/?format=json")["paths"] if "{" not in path]
    for path in paths:
        if path.startswith("/health"):
            continue
        data = _get(services, path)["example"]
        status, answer = _post(services, path, data, "alice-token-1")
        assert status == 202, answer
        key, content = _stored(services, answer["message_id"])
        assert content.endswith(f'"data":{data}}}')
        assert key.startswith("messages/order/" if path == "/messages/order/" else "messages/20")
        assert _post(services, path, '{"unknown": 1}', "alice-token-1")[0] == 400


def test_a_client_is_bound_to_one(services: Services) -> None:
    bound = {"alice": {"tokens": ["alice-token-1"], "contracts": ["order"]}, "bob": ["bob-token-1"]}
    _start(services, CHANGES["a second contract"], API_TOKENS=json.dumps(bound))
    order = _get(services, "/messages/order/")["example"]
    status, answer = _post(services, "/", _get(services, "/")["example"], "alice-token-1")
    assert (status, answer["code"]) == (403, "contract_not_allowed")
    assert _post(services, "/messages/order/", order, "alice-token-1")[0] == 202
    assert _post(services, "/messages/order/", order, "bob-token-1")[0] == 202


def test_a_contract_that_cannot_be_kept_ends_the_start_with_its_line(services: Services) -> None:
    (services.scratch / "our_contract.py").write_text(HEAD.replace('Text(example="c")', "Text()"))
    services.environment |= {"CONTRACT_MODULE": "our_contract", "PYTHONPATH": str(services.scratch)}
    process = services._start("validator", ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"])
    assert process.wait() != 0
    assert "our_contract.py, line 10: " in process.log.read_text()
    assert "Traceback" not in process.log.read_text()
    done = services.manage("migrate", "--check")
    assert done.returncode == 1
    assert "our_contract.py, line 10: " in done.stderr
    assert "Traceback" not in done.stderr


#: Tests that know most about the contract: the schema with its committed file, the refusals, the
#: endpoint, the page, the examples of the docs, the smoke test.
TESTS = (
    "tests/validator/test_openapi.py",
    "tests/validator/test_bad_input.py",
    "tests/validator/test_message_endpoint.py",
    "tests/validator/test_browsable_api.py",
    "tests/docs/test_examples.py",
    "tests/pipelines/test_smoke.py",
)


@pytest.mark.parametrize("change", ["other fields", "a second contract"])
def test_it_is_one_file_and_no_test_of_ours(tmp_path: Path, change: str) -> None:
    checkout = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    (checkout / "validator" / "contract.py").write_text(CHANGES[change])
    environment = {
        name: value
        for name, value in os.environ.items()
        # As in an adopter's shell: not the contract of our tests.
        if not name.startswith(("CONTRACT_", "COVERAGE_", "DJANGO_", "PYTEST_"))
    }

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    # What `make schema` does.
    run("manage.py", "spectacular", "--validate", "--fail-on-warn", "--file", "docs/openapi.yaml")
    run("manage.py", "contract", "--file", "terraform/contract.json")
    run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS)
