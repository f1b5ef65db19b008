"""The supervisor with real child processes."""

import os
import signal
import sys
import threading
import time

import pytest

from cpsite.devstack import supervisor as module
from cpsite.devstack.supervisor import Child, ChildFailed, Stopped, Supervisor
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(module, "RESTART_DELAY", 0.01)


@pytest.fixture
def make_child():
    made = []

    def make(script, **changes):
        options = {
            "name": "child",
            "command": [sys.executable, "-u", "-c", script],
            "environment": dict(os.environ),
            "is_ready": lambda: True,
            "stop_within": 10.0,
        }
        made.append(Child(**(options | changes)))
        return made[-1]

    yield make
    for child in made:
        child.stop_within = 0
        child.stop()


def _supervise(*children):
    return Supervisor(children, stop_order=children)


FOREVER = "import time\nwhile True: time.sleep(1)"


def test_start_waits_until_the_child_is_ready(make_child, tmp_path):
    mark = tmp_path / "ready"
    child = make_child(
        f"import time; time.sleep(.2); open({str(mark)!r}, 'w'); time.sleep(60)",
        is_ready=mark.exists,
    )
    _supervise(child).start(child)
    assert mark.exists()
    assert child.is_alive


def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_last_lines(make_child):
    child = make_child("print('out of cheese'); raise SystemExit(3)", is_ready=lambda: False)
    with pytest.raises(ChildFailed, match=r"(?s)child ended with status 3.*out of cheese"):
        _supervise(child).start(child)


def test_a_child_that_is_never_ready_is_reported(make_child):
    child = make_child(FOREVER, is_ready=lambda: False, ready_within=0.3)
    with pytest.raises(ChildFailed, match="not ready within"):
        _supervise(child).start(child)


def test_a_stop_during_the_start_ends_it(make_child):
    child = make_child(FOREVER, is_ready=lambda: False)
    supervisor = _supervise(child)
    supervisor._on_signal(signal.SIGINT, None)
    with pytest.raises(Stopped):
        supervisor.start(child)


def test_a_child_that_dies_is_started_again(make_child, tmp_path, capsys):
    lives = tmp_path / "lives"
    child = make_child(
        f"f = open({str(lives)!r}, 'a+'); f.write('x'); f.flush(); f.seek(0)\n"
        f"if len(f.read()) < 3: raise SystemExit(7)\n{FOREVER}"
    )
    supervisor = _supervise(child)
    supervisor.start(child)
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    for _ in range(1000):
        if lives.exists() and lives.read_text() == "xxx":
            break
        time.sleep(0.01)
    supervisor._on_signal(signal.SIGTERM, None)
    watching.join(10)
    assert child.is_alive
    assert capsys.readouterr().out.count("child ended with status 7; starting it again") == 2


def test_a_child_that_keeps_dying_ends_the_run_with_its_last_lines(make_child):
    child = make_child("print('no luck today'); raise SystemExit(9)")
    supervisor = _supervise(child)
    child.start()
    with pytest.raises(ChildFailed, match=r"(?s)died 6 times in a row.*no luck today"):
        supervisor.watch()


def test_after_a_long_life_deaths_are_counted_anew(make_child, monkeypatch):
    monkeypatch.setattr(module, "HEALTHY_AFTER", 0.0)
    child = make_child("pass")
    child.deaths = 5
    child.start()
    child.process.wait()
    _supervise(child)._tend(child)
    assert child.deaths == 1


def test_stopping_is_by_sigterm_and_in_order(make_child, tmp_path):
    journal = tmp_path / "journal"
    script = (
        "import signal, sys, time\n"
        f"def end(*_): open({str(journal)!r}, 'a').write(sys.argv[1]); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(tmp_path)!r} + '/up-' + sys.argv[1], 'w')\n{FOREVER}"
    )
    children = []
    for name in "ab":
        child = make_child(script, is_ready=(tmp_path / f"up-{name}").exists)
        child.command = [*child.command, name]
        children.append(child)
    a, b = children
    supervisor = Supervisor([a, b], stop_order=[b, a])
    for child in children:
        supervisor.start(child)
    supervisor.stop()
    assert journal.read_text() == "ba"
    assert a.process.returncode == b.process.returncode == 0


STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\n" + FOREVER


def test_a_child_that_does_not_stop_is_killed(make_child, capsys):
    child = make_child(STUBBORN, stop_within=0.2)
    child.is_ready = lambda: "up\n" in child.lines
    supervisor = _supervise(child)
    supervisor.start(child)
    supervisor.stop()
    assert child.process.returncode == -signal.SIGKILL
    assert "killed" in capsys.readouterr().out


def test_a_second_signal_kills_what_is_left(make_child):
    first, second = make_child(FOREVER), make_child(STUBBORN, stop_within=60)
    second.is_ready = lambda: "up\n" in second.lines
    supervisor = _supervise(first, second)
    for child in (first, second):
        supervisor.start(child)
    stop_first = first.stop

    def interrupted(is_hurried=lambda: False):
        supervisor._on_signal(signal.SIGINT, None)
        stop_first(is_hurried)

    first.stop = interrupted
    supervisor.stop()
    assert second.process.returncode == -signal.SIGKILL


def test_a_process_that_must_save_its_state_is_not_hurried(make_child, tmp_path):
    saved = tmp_path / "saved"
    child = make_child(
        "import signal, sys, time\n"
        f"def end(*_): time.sleep(.5); open({str(saved)!r}, 'w'); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end)\nprint('up')\n{FOREVER}",
        may_be_hurried=False,
    )
    child.is_ready = lambda: "up\n" in child.lines
    _supervise(child).start(child)
    child.stop(is_hurried=lambda: True)
    assert saved.exists()
    assert child.process.returncode == 0


def test_what_a_process_needs_is_done_in_each_of_its_lives(make_child):
    prepared = []
    child = make_child(FOREVER, is_ready=lambda: prepared.append(child.process.pid) or True)
    supervisor = _supervise(child)
    supervisor.start(child)
    child.process.kill()
    child.process.wait()
    wait_for(lambda: supervisor._tend(child) or len(prepared) == 2, "its second life")
    assert len(set(prepared)) == 2
    supervisor._tend(child)
    assert len(prepared) == 2


def test_a_line_to_a_closed_terminal_is_no_error(monkeypatch):
    def broken(*args, **kwargs):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    module.tell("anybody?")


def test_output_goes_to_the_log_file_where_there_is_one(make_child, tmp_path):
    log = tmp_path / "logs" / "child.log"
    child = make_child("print('hello')", log=log)
    child.start()
    child.process.wait()
    child.stop()
    assert log.read_text() == "hello\n"


def test_output_without_log_has_the_childs_name_before_it(make_child, capfd):
    child = make_child("print('hello')")
    child.start()
    child.process.wait()
    child.stop()
    assert "child     | hello" in capfd.readouterr().out


def test_a_child_that_was_never_started_stops_quietly(make_child):
    child = make_child("pass")
    child.stop()
    assert not child.is_alive


def test_signals_are_heard():
    supervisor = _supervise()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    supervisor.install_signal_handlers()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.watch()  # returns because of it
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
