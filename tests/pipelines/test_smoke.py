"""The smoke test: against the real API, and against APIs that are wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from deploy import smoke
from deploy.errors import DeployError

from tests.conftest import Queue
from tests.pipelines import api

TOKEN = "alice-token-1"  # tests/settings.py


@pytest.mark.django_db(transaction=True)
def test_the_api_passes(live_server: Any, queue: Queue) -> None:
    lines = smoke.run(live_server.url, None, "smoke-1", 10)

    assert len(lines) == 5
    assert queue.bodies() == []


@pytest.mark.django_db(transaction=True)
def test_with_a_token_one_message_is_sent(live_server: Any, queue: Queue) -> None:
    first = smoke.run(live_server.url, TOKEN, "smoke-1", 10)
    smoke.run(live_server.url + "/", TOKEN, "smoke-1", 10)

    assert "a message is accepted: POST / is 202" in first
    assert len(queue.bodies()) == 1


def wrong(path: str, status: int, code: str | None = None) -> api.Answers:
    """Answer as a healthy API, but for one path; at `/` to what is sent."""

    def answer(method: str, asked: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        if asked == path and (method, path) != ("GET", "/"):
            return status, {"code": code} if code else {}
        return api.healthy(method, asked, authorization)

    return answer


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (wrong("/health/ready", 503), "GET /health/ready is 503, not 200"),
        (wrong("/", 202), "POST / is 202, not 401 token_missing"),
        (wrong("/", 401, "token_unknown"), "POST / is 401 token_unknown, not 401 token_missing"),
        (wrong("/metrics", 200), "GET /metrics is 200, not 404"),
        (wrong("/health/live", 301), "GET /health/live is 301, not 200"),
    ],
)
def test_a_wrong_answer_is_named(answers: api.Answers, said: str) -> None:
    with api.served(answers) as url, pytest.raises(DeployError, match=said):
        smoke.run(url, None, "key", 0)


def test_the_message_is_the_services_own_example() -> None:
    (check,) = [
        each for each in smoke.checks("a-token", "key", '{"a": 1.10}') if each.status == 202
    ]
    assert check.body == '{"data": {"a": 1.10}}'


def test_a_target_of_the_version_before_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def answer(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        if (method, path) == ("GET", "/"):
            described.append(1)
            if len(described) < 3:
                return 200, {"service": "cpsite"}
        return api.healthy(method, path, authorization)

    with api.served(answer) as url:
        smoke.run(url, None, "key", 60)

    assert len(described) == 3


def test_a_service_without_an_example_is_none_of_ours() -> None:
    def answer(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ok"}

    with api.served(answer) as url, pytest.raises(DeployError, match="has no example of a message"):
        smoke.run(url, None, "key", 0)


def test_the_token_is_in_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    with api.served(wrong("/nowhere", 200)) as url, pytest.raises(DeployError) as raised:
        smoke.run(url, "a-secret-token", "key", 0)

    # The stand-in takes a broken message.
    assert "POST / is 202, not 400 contract_broken" in str(raised.value)
    assert "a-secret-token" not in str(raised.value) + "".join(capsys.readouterr())


def test_what_passes_in_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def answer(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        asked.append(path)
        return (502, {}) if len(asked) < 3 else api.healthy(method, path, authorization)

    with api.served(answer) as url:
        smoke.run(url, None, "key", 60)

    assert asked.count("/health/live") == 3


def test_what_does_not_pass_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seconds: float) -> None:
        pytest.fail("waited")

    monkeypatch.setattr("time.sleep", fail)

    with api.served(wrong("/", 202)) as url, pytest.raises(DeployError):
        smoke.run(url, None, "key", 60)


def test_nobody_there_is_an_error_in_words() -> None:
    with api.served(api.healthy) as url:
        pass

    with pytest.raises(DeployError, match=r"GET /health/live is not answered \(.*refused"):
        smoke.run(url, None, "key", 0)


@pytest.mark.parametrize("url", ["", "cpsite.example.com", "file:///etc/passwd"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(DeployError, match="is not an http or https URL"):
        smoke.run(url, None, "key", 0)


def test_by_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: Any
) -> None:
    seen: list[str | None] = []
    monkeypatch.setenv("SMOKE_TOKEN", "a-token")
    job.answers = _noting(seen)

    assert job.run("smoke", "--url", job.url) == 1

    assert seen[-1] == "Bearer a-token"


def _noting(seen: list[str | None]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def answer(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        seen.append(authorization)
        return api.healthy(method, path, authorization)

    return answer
