"""Values as Grafana writes them, for the units that the dashboards use."""

from collections.abc import Callable
from typing import Final

_THOUSAND: Final = 1000
_MINUTE: Final = 60
_HOUR: Final = 3600


def format_value(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit. Raises KeyError for a unit that no dashboard uses yet."""
    return UNITS[unit](value, decimals)


def _number(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = 0 if value == int(value) else max(0, 2 - len(str(int(abs(value)))) + 1)
    return f"{value:.{decimals}f}"


def _short(value: float, decimals: int | None) -> str:
    for factor, suffix in ((_THOUSAND**2, " Mil"), (_THOUSAND, " K")):
        if abs(value) >= factor:
            return f"{_number(value / factor, None)}{suffix}"
    return _number(value, decimals)


def _rate(suffix: str) -> Callable[[float, int | None], str]:
    return lambda value, decimals: f"{_number(value, decimals)} {suffix}"


def _seconds(value: float, decimals: int | None) -> str:
    if abs(value) < 1:
        return f"{_number(value * _THOUSAND, decimals)} ms" if value else "0 s"
    for factor, suffix in ((_HOUR, "hours"), (_MINUTE, "mins")):
        if abs(value) >= factor:
            return f"{_number(value / factor, decimals)} {suffix}"
    return f"{_number(value, decimals)} s"


def _bytes(suffix: str) -> Callable[[float, int | None], str]:
    def write(value: float, decimals: int | None) -> str:
        for power, prefix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
            if abs(value) >= 1024**power:
                return f"{_number(value / 1024**power, decimals)} {prefix}{suffix}"
        return f"{_number(value, decimals)} {suffix}"

    return write


def _percent(value: float, decimals: int | None) -> str:
    return f"{_number(value * 100, decimals)}%"


UNITS: Final[dict[str, Callable[[float, int | None], str]]] = {
    "short": _short,
    "mps": _rate("msg/s"),
    "reqps": _rate("req/s"),
    "ops": _rate("ops/s"),
    "eps": _rate("events/s"),
    "s": _seconds,
    "bytes": _bytes("B"),
    "Bps": _bytes("B/s"),
    "percentunit": _percent,
}
