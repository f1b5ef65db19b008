"""The images at work: as on ECS, with PostgreSQL, SQS and S3 beside them."""

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any, Self

import pytest

from cpsite import json_text
from tests.conftest import Bucket, Queue
from tests.images.conftest import Start
from tests.images.engine import Container
from tests.waiting import wait_for
from validator.contract import CONTRACTS

#: A message of the contract that ships, which is the images'.
DATA = json.loads(json_text.write(CONTRACTS[0]().example))
INIT = pytest.mark.parametrize(
    "options", [("--init",), ()], ids=["under an init process", "as process 1"]
)


def request(
    environment: Mapping[str, str], method: str, path: str, body: Any = None
) -> tuple[int, bytes]:
    """Return the answer of the validator, 0 where there is none."""
    port = int(environment["PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def post(environment: Mapping[str, str], token: str = "alice-token-1", **changed: Any) -> Any:
    status, body = request(environment, "POST", "/", {"token": token, "data": {**DATA, **changed}})
    return status, json.loads(body) if body else {}


def start_validator(
    start: Start, environment: Mapping[str, str], options: tuple[str, ...] = ()
) -> Container:
    container = start("validator", options=options)
    wait_for(lambda: request(environment, "GET", "/health/ready")[0] == 200, "the validator")
    return container


def start_uploader(start: Start, options: tuple[str, ...] = ()) -> Container:
    container = start("uploader", options=options)
    wait_for(container.is_healthy, "the uploader")
    return container


def stored(bucket: Bucket) -> set[str]:
    """The ids of the messages that have an object."""
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key.rpartition("/")[2].removesuffix(".json") for key in keys}


@pytest.fixture
def migrated(start: Start) -> None:
    """As on ECS: the validator's image, once, with another command."""
    assert start("validator", "python", "manage.py", "migrate", "--noinput").wait() == 0


@pytest.mark.usefixtures("migrated")
def test_a_message_goes_from_the_validator_to_s3(
    start: Start, environment: Mapping[str, str], bucket: Bucket
) -> None:
    validator = start_validator(start, environment)
    uploader = start_uploader(start)

    status, body = post(environment)

    assert (status, body["status"]) == (202, "queued")
    wait_for(lambda: stored(bucket) == {body["message_id"]}, "the object")
    assert post(environment, token="not-a-token")[0] == 401
    assert post(environment, unknown=1)[0] == 400
    assert validator.is_healthy()
    assert uploader.is_healthy()
    assert validator.stop() == 0
    assert uploader.stop() == 0
    # Both events of the message are in PostgreSQL.
    code = (
        "from cpsite.audit.models import AuditEvent\n"
        "print(*AuditEvent.objects.exclude(message_id=None).order_by('kind')"
        ".values_list('kind', flat=True))"
    )
    shell = start("validator", "python", "manage.py", "shell", "--no-imports", "-c", code)
    assert shell.wait() == 0
    assert "accepted stored" in shell.logs()


@pytest.mark.usefixtures("migrated")
def test_the_admin_has_its_assets(start: Start, environment: Mapping[str, str]) -> None:
    start_validator(start, environment)

    status, page = request(environment, "GET", "/admin/login/")
    assert (status, b"/static/admin/css/base.css" in page) == (200, True)
    status, style = request(environment, "GET", "/static/admin/css/base.css")
    assert (status, b"{" in style) == (200, True)


@pytest.mark.usefixtures("migrated")
def test_a_validator_that_hangs_is_not_healthy(
    start: Start, environment: Mapping[str, str]
) -> None:
    container = start_validator(start, environment)
    assert container.is_healthy()

    container.freeze()

    assert not container.is_healthy()


def test_a_container_in_which_no_validator_listens_is_not_healthy(start: Start) -> None:
    container = start("validator", "sleep", "600")

    assert container.is_running()
    assert not container.is_healthy()


@pytest.mark.usefixtures("migrated")
def test_an_uploader_that_hangs_is_not_healthy(start: Start) -> None:
    container = start_uploader(start)

    container.freeze()

    # Its last sign of life is good for half a minute.
    wait_for(lambda: not container.is_healthy(), "the health check to fail", seconds=180)
    assert container.is_running()


def test_a_container_in_which_no_uploader_runs_is_not_healthy(start: Start) -> None:
    container = start("uploader", "sleep", "600")

    assert container.is_running()
    assert not container.is_healthy()


class Clients:
    """Clients that post one message after the other, and note which were accepted."""

    def __init__(self, environment: Mapping[str, str], number: int = 8) -> None:
        self.accepted: list[str] = []
        #: Answers other than 202; a connection that is refused or cut has none.
        self.refused: list[int] = []
        self._environment = environment
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            status, body = post(self._environment)
            if status == 202:
                self.accepted.append(body["message_id"])
            elif status:
                self.refused.append(status)
            else:
                self._is_over.wait(0.1)


def drain(start: Start) -> None:
    """Let an uploader store what is left."""
    container = start("uploader", "python", "manage.py", "run_uploader", "--drain")
    assert container.wait() == 0


@INIT
@pytest.mark.usefixtures("migrated")
def test_a_validator_that_is_stopped_at_work_loses_nothing(
    start: Start, environment: Mapping[str, str], bucket: Bucket, options: tuple[str, ...]
) -> None:
    container = start_validator(start, environment, options)

    with Clients(environment) as clients:
        wait_for(lambda: len(clients.accepted) >= 50, "clients that are being served")
        assert container.stop() == 0

    assert clients.refused == []
    drain(start)
    assert set(clients.accepted) - stored(bucket) == set()


@INIT
@pytest.mark.usefixtures("migrated")
def test_an_uploader_that_is_stopped_at_work_loses_nothing(
    start: Start,
    environment: Mapping[str, str],
    queue: Queue,
    bucket: Bucket,
    options: tuple[str, ...],
) -> None:
    validator = start_validator(start, environment)
    with Clients(environment) as clients:
        wait_for(lambda: len(clients.accepted) >= 300, "messages")
    assert validator.stop() == 0

    uploader = start("uploader", options=(*options, "--env=UPLOADER_CONCURRENCY=2"))
    wait_for(lambda: len(stored(bucket)) >= 10, "an uploader at work")
    assert uploader.stop() == 0

    # It gave back what it had not begun, instead of leaving it to the visibility timeout.
    left = set(clients.accepted) - stored(bucket)
    assert len(left) >= 10
    assert queue.count() == {"visible": len(left), "in_flight": 0}
    drain(start)
    assert stored(bucket) == set(clients.accepted)
