"""What the pictures say; tests/monitoring/test_live.py draws each dashboard from real data."""

import pytest

from tests.end_to_end.conftest import free_port
from tests.monitoring import drawing, render
from tests.monitoring.drawing import Box, Line
from tests.monitoring.units import format_value


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "shown"),
    [
        (0, "s", None, "0 s"),
        (0.0421, "s", None, "42.1 ms"),
        (300, "s", None, "5 mins"),
        (5400, "s", None, "1.50 hours"),
        (0.00142, "percentunit", 2, "0.14%"),
        (0.85, "percentunit", None, "85%"),
        (12_345, "short", None, "12.3 K"),
        (7, "short", 0, "7"),
        (1536, "bytes", None, "1.50 KiB"),
        (25_769_803_776, "bytes", None, "24 GiB"),
        (2048, "Bps", None, "2 KiB/s"),
        (12.256, "mps", 2, "12.26 msg/s"),
        (0.5, "reqps", None, "0.50 req/s"),
    ],
)
def test_values_are_written_as_grafana_writes_them(value, unit, decimals, shown):
    assert format_value(value, unit, decimals) == shown


def test_a_line_is_broken_where_nothing_was_told():
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, 1.0), (60.0, 5.0), (61.0, 6.0)]
    assert [len(run) for run in drawing._runs(points)] == [3, 2]


def test_what_is_written_cannot_be_taken_for_svg():
    drawn = drawing.chart(
        Box(0, 0, 600, 200),
        [Line("<script>", [(0, 0), (60, 1)], "#fff")],
        start=0,
        end=60,
        unit="short",
        decimals=None,
        lowest=0,
        highest=None,
        legend_beside=False,
    )
    assert "&lt;script&gt;" in "".join(drawn)
    assert "<script>" not in "".join(drawn)


def test_without_prometheus_it_says_so(tmp_path, capsys):
    url = f"http://127.0.0.1:{free_port()}"
    assert render.main(["--prometheus", url, "--out", str(tmp_path)]) == 1
    assert "Is `make monitoring` running?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
