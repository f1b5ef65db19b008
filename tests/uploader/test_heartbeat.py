import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.waiting import wait_for
from uploader import heartbeat, liveness, metrics
from uploader.heartbeat import STUCK_SECONDS, Heartbeat
from uploader.liveness import age


@pytest.fixture
def path(tmp_path, settings):
    settings.UPLOADER_HEARTBEAT_FILE = tmp_path / "new-directory" / "heartbeat"
    return settings.UPLOADER_HEARTBEAT_FILE


@pytest.fixture
def clock(monkeypatch):
    now = [5000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    return now


def test_age_is_the_time_since_the_last_write(path, clock):
    Heartbeat(path).check()
    clock[0] += 7
    assert age(path) == 7


def test_it_is_written_while_all_parts_beat(path, clock):
    beating = Heartbeat(path)
    with beating.pulse("receive") as pulse:
        for _ in range(10):
            clock[0] += STUCK_SECONDS - 1
            beating.check()
            assert age(path) == 0
            pulse.beat()


def test_one_stuck_part_is_enough_to_stop_it(path, clock, caplog):
    beating = Heartbeat(path)
    progress = metrics.last_progress_timestamp_seconds
    with beating.pulse("receive") as lively, beating.pulse("upload") as silent:
        beating.check()
        progress.set(1)
        for _ in range(3):
            clock[0] += STUCK_SECONDS + 1
            lively.beat()
            beating.check()
        assert age(path) == 3 * (STUCK_SECONDS + 1)
        assert progress._value.get() == 1
        (line,) = [record for record in caplog.records if record.getMessage() == "worker_stuck"]
        assert line.part == "upload"
        silent.beat()
        beating.check()
        assert age(path) == 0
        assert progress._value.get() > 1


def test_no_beat_is_due_at_rest_or_after_the_end(path, clock):
    beating = Heartbeat(path)
    with beating.pulse("acknowledge") as pulse:
        pulse.rest()
        clock[0] += 10 * STUCK_SECONDS
        beating.check()
        assert age(path) == 0
        pulse.beat()
    with beating.thread("receive"):
        pass
    clock[0] += 10 * STUCK_SECONDS
    beating.check()
    assert age(path) == 0


def test_failed_work_does_not_count_as_stuck(path, clock):
    beating = Heartbeat(path)
    with pytest.raises(RuntimeError), beating.pulse("upload"):
        raise RuntimeError
    clock[0] += 10 * STUCK_SECONDS
    beating.check()
    assert age(path) == 0


def test_a_dead_thread_counts_as_stuck_for_ever(path, clock, caplog):
    beating = Heartbeat(path)
    beating.check()

    def die():
        with beating.thread("acknowledge") as pulse:
            pulse.rest()
            raise SystemExit

    with pytest.raises(SystemExit):
        die()
    clock[0] += 1
    beating.check()
    assert age(path) == 1
    assert "worker_stuck" in caplog.text


def test_wall_clock_steps_do_not_matter(path, clock, monkeypatch):
    Heartbeat(path).check()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert age(path) == 0


@pytest.mark.parametrize("content", [None, "", "not a number", "999999999"])
def test_without_a_readable_file_there_is_no_age(path, content):
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    assert age(path) is None


def test_an_unwritable_file_does_not_stop_the_worker(path, caplog):
    beating = Heartbeat(path)
    path.mkdir()  # so that the file cannot replace it
    beating.check()
    assert "heartbeat_not_written" in caplog.text


def test_it_checks_by_itself_and_removes_the_file_at_the_end(path, monkeypatch):
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)
    beating = Heartbeat(path)
    beating.start()
    first = path.read_text()
    wait_for(lambda: path.read_text() != first, "another check")
    beating.stop()
    assert age(path) is None


def test_check_uploader_succeeds_while_the_heartbeat_is_fresh(path, clock, capsys):
    Heartbeat(path).check()
    clock[0] += 29
    call_command("check_uploader")
    assert "29 s ago" in capsys.readouterr().out


def test_check_uploader_fails_when_the_heartbeat_stops(path, clock):
    Heartbeat(path).check()
    clock[0] += 31
    with pytest.raises(CommandError, match="31 s ago"):
        call_command("check_uploader")
    call_command("check_uploader", "--max-age", "120")


def test_check_uploader_fails_without_a_worker(path):
    with pytest.raises(CommandError, match="No uploader is running"):
        call_command("check_uploader")


def _health_check(path, *options):
    """Run the container's health check."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "uploader.liveness", *options],
        cwd=Path(__file__).parents[2],
        env={"UPLOADER_HEARTBEAT_FILE": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_health_check_says_the_same_and_starts_no_django(path):
    absent = _health_check(path)
    assert absent.returncode == 1
    assert "No uploader is running" in absent.stderr
    Heartbeat(path).check()
    alive = _health_check(path)
    assert alive.returncode == 0
    assert "last heartbeat" in alive.stdout
    assert "django" not in alive.stderr
    assert _health_check(path, "--max-age", "0").returncode == 1


def test_both_read_the_same_file_by_default():
    code = (
        "from django.conf import settings; from uploader import liveness; "
        "print(liveness.heartbeat_file(settings.UPLOADER_HEARTBEAT_FILE))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"DJANGO_SETTINGS_MODULE": "cpsite.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == str(liveness.DEFAULT_FILE)
