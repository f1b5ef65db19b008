import pytest

from cpsite.dead_letters import queue as deadletter


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(deadletter, "WAIT_SECONDS", 0)


@pytest.fixture
def meddle(monkeypatch):
    """Return a function that has calls of the client go through another function."""

    def wrap(name, wrapper):
        make = deadletter.new_client

        def new_client():
            client = make()
            call = getattr(client, name)
            setattr(client, name, lambda **arguments: wrapper(call, **arguments))
            return client

        monkeypatch.setattr(deadletter, "new_client", new_client)

    return wrap
