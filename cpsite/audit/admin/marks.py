"""Which figures are bad, and the mark that pages give them: a sign and words, not colour alone."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from cpsite.audit.models import Kind
from cpsite.audit.scope import holds_all_messages

#: What was accepted is to be in S3 within this time: `cpsite:threshold:message_age_seconds`.
LATE: Final = timedelta(minutes=5)
#: The part of an hour's requests that may be refused. Of few requests the part says nothing.
REFUSED_SHARE: Final = 0.1
REFUSED_AT_LEAST: Final = 5

_NONE: Final = mark_safe("")


def mark(why: str, shown: str = "") -> SafeString:
    """Return the mark of a bad figure, which stands before it: a sign, and `shown`.

    `why` is what is read out instead, and shown on hover.
    """
    return format_html(
        '<span class="audit-bad" title="{0}"><span aria-hidden="true">▲{1}</span>'
        '<span class="visually-hidden">{0}: </span></span> ',
        why,
        f" {shown}" if shown else "",
    )


def of_age(age: timedelta | None) -> SafeString:
    """Mark the time that a message has taken, or waits, to be in S3."""
    return mark("late") if age is not None and age > LATE else _NONE


def of_failures(number: int) -> SafeString:
    """Mark attempts to store a message that have failed, and dead letters."""
    return mark("bad") if number > 0 else _NONE


def of_kind(kind: str, numbers: Mapping[str, int]) -> SafeString:
    """Mark the number of events of a kind, among those of all kinds in a time."""
    if kind == Kind.FAILED:
        return of_failures(numbers[Kind.FAILED])
    # Of how many requests, the audit log knows only if it holds those that were accepted.
    if kind == Kind.REFUSED and holds_all_messages():
        return _of_refusals(numbers[Kind.REFUSED], numbers[Kind.ACCEPTED])
    return _NONE


def _of_refusals(refused: int, accepted: int) -> SafeString:
    share = refused / max(1, refused + accepted)
    if refused < REFUSED_AT_LEAST or share <= REFUSED_SHARE:
        return _NONE
    return mark(f"{share:.0%} of the requests are refused", f"{share:.0%}")
