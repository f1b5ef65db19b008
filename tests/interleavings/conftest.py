"""Prints what was explored at the end of `make interleavings`."""

from typing import Any

from tests.interleavings import search


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not search.IS_LONG:
        return
    terminalreporter.section(f"explored, seed {search.SEED}")
    for figures in search.reported:
        terminalreporter.write_line(str(figures))
    total = sum(figures.schedules for figures in search.reported)
    terminalreporter.write_line(f"{total:,} schedules in all")
