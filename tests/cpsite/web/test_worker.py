"""How gunicorn's worker reads a body: in time, and in turn with other connections."""

import re
import time
from types import SimpleNamespace

import gevent
import gevent.socket
import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from cpsite.settings import BASE_DIR
from cpsite.web import admin_login, connection, load_shedding, password_hashing, worker

LENGTH = 400_000


class Ready:
    """A socket of which more can always be read, so that no wait ends a read or gives a turn."""

    def recv(self, size):
        return b"x" * min(size, 8_192)

    def settimeout(self, _seconds):
        pass


@pytest.fixture
def body():
    client = connection.Client(Ready(), connection.Waits(60, TimeoutError))
    reader = Body(LengthReader(SocketUnreader(client), LENGTH))
    request = SimpleNamespace(body=reader, must_close=False, readable_bytes=LENGTH)
    return connection.Body(request, client, connection.Waits(60, TimeoutError))


def test_a_body_ends_with_its_time_though_data_is_always_ready(body, monkeypatch):
    monkeypatch.setattr(connection, "BODY_SECONDS", -1.0)
    with pytest.raises(connection.ClientTooSlow):
        body.read()
    assert body.failed


def test_others_have_their_turns_while_a_body_is_read(body, monkeypatch):
    monkeypatch.setattr(connection, "TURN_SECONDS", -1.0)
    turns = []

    def take_turns():
        while True:
            turns.append(len(turns))
            gevent.sleep(0)

    other = gevent.spawn(take_turns)
    assert len(body.read()) == LENGTH
    other.kill()
    assert len(turns) > 10


def test_the_documented_bounds_are_those_of_the_code():
    page = (BASE_DIR / "docs" / "security.md").read_text()
    head, *rest = re.search(
        r"the time of a head, a body, a stall, an answer \| (\d+), (\d+), (\d+) and (\d+) s", page
    ).groups()
    assert [float(each) for each in rest] == [
        connection.BODY_SECONDS,
        connection.STALL_SECONDS,
        connection.ANSWER_SECONDS,
    ]
    configuration = (BASE_DIR / "cpsite" / "gunicorn.py").read_text()
    assert re.search(rf"^keepalive = {head}$", configuration, re.MULTILINE)
    assert f"ready all the time | {connection.TURN_SECONDS * 1000:.0f} ms |" in page
    drained = f"{worker._DRAIN_BYTES // 2**20} MiB or {worker._DRAIN_SECONDS:.0f} s"
    assert f"goes on sending | {drained}" in page
    waiting = f"{worker.ROOM_SECONDS:.0f} s, half of `WEB_CONNECTIONS`"
    assert f"bodies that wait for that | {waiting}" in page
    assert worker.WAITING_SHARE == 0.5
    answers = f"{load_shedding.TARGET_SECONDS} s; always {load_shedding.ALWAYS} |"
    assert f"half of `WEB_CONNECTIONS`; if it is saturated, what it answers in {answers}" in page
    assert load_shedding.WORKING_SHARE == 0.5
    logins = f"{admin_login.LOGINS}, of which one is hashed at a time"
    assert f"logins under way in a process | {logins}" in page
    assert password_hashing.HASHES == 1


def test_a_busy_process_accepts_more_connections_at_a_time():
    """One while it is idle, as gunicorn has it: the next one may be for another process."""
    load = load_shedding.LoadShedder(512)
    with gevent.socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = worker._Server(listener, handle=lambda *_: None, load=load)
        assert server.max_accept == 100  # gevent's, which gunicorn leaves to a single process
        server.max_accept = 1
        assert server.max_accept == 1
        for _ in range(100):
            load.begin()
        assert 10 < server.max_accept <= 100


def test_messages_that_wait_for_their_client_are_no_work():
    """Neither for a body that is yet to come, nor for an answer that nobody reads."""
    bodies, answers = connection.Waits(60, TimeoutError), connection.Waits(60, TimeoutError)
    server = SimpleNamespace(_bodies=bodies, _answers=answers, _messages=set())
    long_ago, lately = time.monotonic() - 1, time.monotonic()

    def wait(waits, begun, *, is_message):
        if is_message:
            server._messages.add(gevent.getcurrent())
        waits.enter(begun)
        gevent.sleep(60)

    def idle(*waits):
        for waiting, begun, is_message in waits:
            started.append(gevent.spawn(wait, waiting, begun, is_message=is_message))
        gevent.sleep(0)
        return worker.Worker._idle_messages(server)

    started = []
    try:
        assert idle((bodies, lately, True), (answers, lately, True)) == 0
        assert idle((bodies, long_ago, False), (answers, long_ago, False)) == 0  # of pages
        assert idle((bodies, long_ago, True)) == 1
        assert idle((answers, long_ago, True)) == 2
    finally:
        gevent.killall(started)
