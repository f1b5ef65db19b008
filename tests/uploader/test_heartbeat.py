import time

import pytest
from django.core.management import CommandError, call_command

from uploader import heartbeat
from uploader.heartbeat import Heartbeat, age


@pytest.fixture
def path(tmp_path, settings):
    settings.UPLOADER_HEARTBEAT_FILE = tmp_path / "new-directory" / "heartbeat"
    return settings.UPLOADER_HEARTBEAT_FILE


@pytest.fixture
def clock(monkeypatch):
    now = [5000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    return now


def test_a_beat_is_as_old_as_it_is(path, clock):
    Heartbeat(path).beat()
    clock[0] += 7
    assert age(path) == 7


def test_beats_are_written_at_most_once_a_second(path, clock):
    beating = Heartbeat(path)
    beating.beat()
    clock[0] += 0.9
    beating.beat()
    assert age(path) == pytest.approx(0.9)
    clock[0] += 0.2
    beating.beat()
    assert age(path) == 0


def test_wall_clock_steps_do_not_matter(path, clock, monkeypatch):
    Heartbeat(path).beat()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert age(path) == 0


@pytest.mark.parametrize("content", [None, "", "not a number", "999999999"])
def test_without_a_readable_beat_there_is_no_age(path, content):
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    assert age(path) is None


def test_a_beat_that_cannot_be_written_stops_nobody(path, caplog):
    beating = Heartbeat(path)
    path.mkdir()  # so that the file cannot take its place
    beating.beat()
    assert "heartbeat_not_written" in caplog.text


def test_a_removed_heartbeat_is_gone(path):
    beating = Heartbeat(path)
    beating.beat()
    beating.remove()
    beating.remove()
    assert age(path) is None


def test_check_uploader_is_green_while_there_is_progress(path, clock, capsys):
    Heartbeat(path).beat()
    clock[0] += 89
    call_command("check_uploader")
    assert "89 s ago" in capsys.readouterr().out


def test_check_uploader_turns_red_when_progress_stops(path, clock):
    Heartbeat(path).beat()
    clock[0] += 91
    with pytest.raises(CommandError, match="91 s ago"):
        call_command("check_uploader")
    call_command("check_uploader", "--max-age", "120")


def test_check_uploader_is_red_without_a_worker(path):
    with pytest.raises(CommandError, match="No uploader is running"):
        call_command("check_uploader")
