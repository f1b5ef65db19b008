"""Production's rules and intervals, shorter by one factor: a test need not wait for hours.

Only durations change. Limits stay as they are, also those in seconds.
"""

import re
from collections.abc import Callable
from typing import Any, Final

#: A quarter of an hour passes in 45 seconds.
FACTOR: Final = 20

_MILLISECONDS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d+)([smhd])")
#: Where durations stand in a rule file: `for: 5m`, and ranges, `[5m]`.
_IN_RULES: Final = re.compile(r"(?<=\bfor: )\d+[smhd]\b|(?<=\[)\d+[smhd](?=\])")
#: Where they stand in the other files.
_KEYS: Final = {
    *("scrape_interval", "evaluation_interval", "scrape_timeout"),
    *("group_wait", "group_interval", "repeat_interval"),
}


def scaled(duration: str) -> str:
    """Return a duration of Prometheus's, such as 5m, shorter by the factor, in milliseconds."""
    found = _DURATION.fullmatch(duration)
    assert found, f"{duration} has not one number and one unit"
    return f"{int(found[1]) * _MILLISECONDS[found[2]] // FACTOR}ms"


def scaled_rules(text: str) -> str:
    """Return a rule file with its durations scaled, and nothing else changed."""
    return _IN_RULES.sub(lambda found: scaled(found[0]), text)


def without_durations(text: str) -> str:
    """Return a rule file, scaled or not, with a mark in place of each duration."""
    return re.sub(r"(?<=\bfor: )\d+m?[smhd]\b|(?<=\[)\d+m?[smhd](?=\])", "…", text)


def scaled_configuration(part: Any) -> Any:
    """Return Prometheus's or Alertmanager's configuration with its intervals scaled."""
    return _mapped(part, scaled)


def _mapped(part: Any, change: Callable[[str], str]) -> Any:
    if isinstance(part, dict):
        return {
            key: change(value) if key in _KEYS else _mapped(value, change)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_mapped(item, change) for item in part]
    return part
