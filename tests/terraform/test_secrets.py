"""Neither plan nor state holds the value of a secret."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.conftest import Infrastructure

#: What our generator makes: long, of letters of both cases and digits, with nothing between.
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*\d)"
    r"[A-Za-z0-9]{32,}(?![A-Za-z0-9])"
)
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]+:[^/\s:@]+@")
#: Arguments that hold secrets, should anybody use them instead of the write-only ones.
_SECRET_ARGUMENTS = {"password", "value", "master_password", "secret_string"}


def strings(document: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from strings(value, f"{path}.{key}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from strings(value, f"{path}[{index}]")
    elif isinstance(document, str):
        yield path, document


def secrets_in(document: Any) -> list[str]:
    """Return the paths of what looks like a secret."""
    found = []
    for path, value in strings(document):
        name = path.rpartition(".")[2]
        if _RANDOM.search(value) or _PASSWORD_IN_URL.search(value) or name.endswith("_wo"):
            found.append(path)
    return found


def test_plan_and_state_have_no_secrets(infrastructure: Infrastructure) -> None:
    for document in infrastructure.documents.values():
        assert secrets_in(document) == []


def test_secret_arguments_are_not_used(infrastructure: Infrastructure) -> None:
    kinds = ("aws_ssm_parameter", "aws_db_instance", "random_password")
    for kind in kinds:
        for address, resource in infrastructure.of_type(kind).items():
            assert not kind.startswith("random"), address  # an ephemeral one leaves no trace
            for argument in _SECRET_ARGUMENTS & resource.keys():
                # In a plan with mocks a computed value is eight characters of noise.
                assert len(resource[argument] or "") <= len("mockmock"), (address, argument)


def test_plans_have_no_secrets() -> None:
    directory = os.environ.get("TERRAFORM_PLANS")
    plans = sorted(Path(directory).glob("*.json")) if directory else []
    if not plans:
        pytest.skip("no plan was made: TERRAFORM_PLANS has none")
    for plan in plans:
        assert secrets_in(json.loads(plan.read_text())) == [], plan.name


@pytest.mark.parametrize(
    "value",
    [
        {"value": "k3yOfMixedCaseThatIsLongEnough0123456789"},
        {"content": ["postgresql://cpsite:hunter2@db.internal:5432/cpsite"]},
        {"after": {"value_wo": "short"}},
        {"environment": 'x": "0aB0aB0aB0aB0aB0aB0aB0aB0aB0aB0aB0aB"'},
    ],
)
def test_a_secret_would_be_seen(value: dict[str, Any]) -> None:
    assert secrets_in(value)


@pytest.mark.parametrize(
    "value",
    [
        {"arn": "arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-dev/database-url"},
        {"digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        {"name": "ECSServiceAverageCPUUtilization"},
        {"url": "https://sqs.us-east-1.amazonaws.com/123456789012/cpsite"},
    ],
)
def test_other_things_are_not_taken_for_secrets(value: dict[str, Any]) -> None:
    assert not secrets_in(value)
