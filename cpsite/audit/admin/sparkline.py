"""A small bar chart as SVG. Made here, so that the page needs neither scripts nor a library."""

from collections.abc import Sequence
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

#: In the units of the picture's own coordinates.
_STEP: Final = 10
_BAR: Final = 8
_HEIGHT: Final = 32


def sparkline(name: str, numbers: Sequence[int]) -> SafeString:
    """Draw a bar for each number, the tallest as high as the picture; `name` is the kind of event.

    It has a title and a description for screen readers; the page has the numbers in a table.
    """
    most = max(numbers, default=0)
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{} {}, {} h ago</title></rect>',
        (
            (index * _STEP + 1, _HEIGHT - height, _BAR, height, f"{number:,}", name, hours)
            for index, number in enumerate(numbers)
            if (height := _height(number, most))
            # A bar is the hour that ended so long ago.
            for hours in [len(numbers) - 1 - index]
        ),
    )
    width = len(numbers) * _STEP
    return format_html(
        '<svg class="audit-chart audit-{0}" role="img" viewBox="0 0 {1} {2}" '
        'aria-labelledby="chart-{0} chart-{0}-about" preserveAspectRatio="none">'
        '<title id="chart-{0}">{0}, hour by hour</title>'
        '<desc id="chart-{0}-about">{3} hours, the last one ending now; at most {4} in an hour, '
        "{5} in the last.</desc>"
        '{6}<line x1="0" y1="{2}" x2="{1}" y2="{2}"/></svg>',
        name,
        width,
        _HEIGHT,
        len(numbers),
        f"{most:,}",
        f"{numbers[-1] if numbers else 0:,}",
        bars,
    )


def _height(number: int, most: int) -> int:
    # Even a small number must be visible beside a large one.
    return max(2, round(number / most * _HEIGHT)) if number else 0
