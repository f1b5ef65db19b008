"""The table of clients, and the page of one: what it sends, and what becomes of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from cpsite.audit.admin import marks
from cpsite.audit.admin.display import (
    address_link,
    ago,
    badge,
    client_link,
    events_url,
    hour_url,
    message_link,
    reason_link,
)
from cpsite.audit.admin.filters import LIMIT, values_of
from cpsite.audit.admin.sparkline import sparkline
from cpsite.audit.clients import (
    EVENTS_OF_MANY,
    EVENTS_OF_ONE,
    EVENTS_OF_SILENT,
    HOUR,
    KINDS,
    Activity,
    Figures,
    Refusals,
    find_last_requests,
    read_addresses,
    read_clients,
    read_refusals,
)
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import WHY, holds_all_messages, recorded_kinds
from cpsite.audit.unstored import UnstoredByClient, count_unstored, find_waiting
from cpsite.message import CLIENT_NAME
from cpsite.moments import span, whole_second

#: Seconds for which a process caches the figures of the table.
CACHE_SECONDS: Final = 10
#: Addresses in the table, worst first, and events and waiting messages on the page of a client.
ADDRESSES: Final = 20
NEWEST_EVENTS: Final = 20
WAITING_MESSAGES: Final = 20
#: Reasons whose course is shown at once, the most frequent first.
COURSES: Final = 5


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what the template `admin/audit/clients.html` shows.

    `after` in the query is the last client of the page before.
    """
    after = request.GET.get("after", "")
    after = after if CLIENT_NAME.fullmatch(after) else ""
    key = f"audit-clients-{after}"
    found: dict[str, Any] | None = cache.get(key)
    if found is None:
        found = _context(after, timezone.now())
        cache.set(key, found, CACHE_SECONDS)
    return found


def _context(after: str, now: datetime) -> dict[str, Any]:
    names = values_of("client", after)
    unstored = count_unstored(now) if holds_all_messages() else None
    clients = _read(names, now, limit=EVENTS_OF_MANY)
    return {
        "clients": [_row(client, unstored) for client in clients],
        "addresses": [
            _of_address(each) for each in read_addresses(now, limit=EVENTS_OF_ONE)[:ADDRESSES]
        ],
        "next": names[-1] if len(names) == LIMIT else "",
        "is_continued": bool(after),
        "limit": EVENTS_OF_MANY,
        "not_recorded": "" if unstored else WHY,
    }


def _read(names: list[str], now: datetime, *, limit: int) -> list[Activity]:
    """Return the activity of clients, each with its last request, if the log has all requests."""
    clients = read_clients(names, now, limit=limit)
    if holds_all_messages():
        find_last_requests(clients, limit=EVENTS_OF_SILENT)
    return clients


def _row(client: Activity, unstored: UnstoredByClient | None) -> dict[str, Any]:
    # Its page lists them.
    url = f"{reverse('admin:audit_client', args=[client.name])}#waiting-title"
    return {
        "link": client_link(client.name),
        **_of_client(client),
        "waiting": _waiting(unstored, client.name, url),
    }


def _of_client(activity: Activity) -> dict[str, Any]:
    """Return the figures of a client; without its last request if that may have been accepted."""
    figures = _figures(activity, {"client": activity.name})
    return figures | ({} if holds_all_messages() else {"last_seen": ""})


def _of_address(activity: Activity) -> dict[str, Any]:
    # An empty client: others behind the address may be known.
    figures = _figures(activity, {"q": activity.name, "client": ""})
    (refused,) = (each for each in figures["figures"] if each["kind"] == Kind.REFUSED)
    return figures | {
        "link": address_link(activity.name),
        "name": activity.name,
        "refused": refused,
    }


def _figures(activity: Activity, about: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures of each kind, for the hour and the day, each with its events' address.

    `about` are the filters of the events of this client or address.
    """
    more = "+" if activity.is_bounded else ""
    # What was read may go back for more than an hour: then the hour's figures are exact.
    of_hour = more if _is_within_the_hour(activity) else ""
    return {
        "figures": [
            {
                "kind": kind.value,
                "hour": _figure(activity.hour, kind, of_hour),
                "hour_mark": marks.of_kind(kind, activity.hour.kinds),
                "day": _figure(activity.day, kind, more),
                "day_mark": marks.of_kind(kind, activity.day.kinds),
                "hour_url": events_url(**about, kind__exact=kind.value, since="1h"),
                "day_url": events_url(**about, kind__exact=kind.value, since="24h"),
            }
            for kind in KINDS
        ],
        "reasons": _reasons(activity, about),
        "last_seen": ago(activity.last_seen) if activity.last_seen else "",
        "is_bounded": activity.is_bounded,
    }


def _is_within_the_hour(activity: Activity) -> bool:
    since = activity.read_since
    return since is not None and since > timezone.now() - timedelta(hours=1)


def _figure(figures: Figures, kind: Kind, more: str) -> str:
    return f"{figures.kinds[kind]:,}{more}" if kind in recorded_kinds() else "-"


def _reasons(activity: Activity, about: Mapping[str, str]) -> list[tuple[Any, str]]:
    """Return the reasons of a day's refusals and failures, the most frequent first."""
    more = "+" if activity.is_bounded else ""
    numbers: Counter[str] = Counter()
    for (_, reason), number in activity.day.reasons.items():
        numbers[reason] += number  # `internal_error` is of both kinds
    return [
        (reason_link(reason, **about, since="24h"), f"{number:,}{more}")
        for reason, number in numbers.most_common()
    ]


def _waiting(counted: UnstoredByClient | None, client: str, url: str) -> str:
    """Say how long the oldest unstored message waits; "over" where older ones were not read.

    `url` is the address of where they are listed.
    """
    unstored = counted.clients.get(client) if counted else None
    if counted is None or unstored is None:
        return ""
    over = "" if counted.is_all else "over "
    age = timezone.now() - unstored.oldest
    text = f"{unstored.number:,}, the oldest for {over}{span(age)}"
    return format_html('{}<a href="{}">{}</a>', marks.of_age(age), url, text)


def _number_of(counted: UnstoredByClient | None, client: str) -> int:
    unstored = counted.clients.get(client) if counted else None
    return unstored.number if unstored else 0


def context_of(name: str) -> dict[str, Any]:
    """Return what the template `admin/audit/client.html` shows. Raises Http404 without events."""
    now = timezone.now()
    of_client = AuditEvent.objects.filter(client=name)
    newest = list(of_client[:NEWEST_EVENTS])
    if not newest:
        raise Http404("The audit log knows no such client.")
    (activity,) = _read([name], now, limit=EVENTS_OF_ONE)
    unstored = count_unstored(now, client=name) if holds_all_messages() else None
    waiting = find_waiting(now, client=name).messages if unstored else ()
    return {
        "name": name,
        **_of_client(activity),
        **_course_of(name, read_refusals(name, whole_second(now), limit=EVENTS_OF_ONE)),
        "waiting_summary": _waiting(unstored, name, "#waiting-title"),
        "not_recorded": "" if unstored else WHY,
        "waiting": [
            (message_link(each.message_id), ago(each.accepted_at or now))
            for each in waiting[:WAITING_MESSAGES]
        ],
        "waiting_further": max(0, _number_of(unstored, name) - WAITING_MESSAGES),
        "events": [_event(each) for each in newest],
        "all_events": events_url(client=name),
        "limit": EVENTS_OF_ONE,
    }


def _course_of(name: str, refusals: Refusals) -> dict[str, Any]:
    """Return the refusals of each hour as charts, in all and by reason, and as figures."""
    most_first = sorted(refusals.reasons.items(), key=lambda pair: -sum(pair[1]))
    more = "+" if refusals.read_since else ""
    courses = [
        {
            "link": reason_link(reason, client=name, kind__exact=Kind.REFUSED.value, since="24h"),
            "day": f"{sum(numbers):,}{more}",
            **_chart(reason, numbers),
        }
        for reason, numbers in most_first
    ]
    return {
        **_chart(Kind.REFUSED.value, refusals.hours),
        "courses": courses[:COURSES],
        "further_courses": courses[COURSES:],
        "hours": list(_hours(name, refusals, [reason for reason, _ in most_first])),
    }


def _chart(name: str, numbers: list[int]) -> dict[str, Any]:
    return {"chart": sparkline(name, numbers), "most": f"{max(numbers):,}".removeprefix("0")}


def _hours(name: str, refusals: Refusals, reasons: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each hour and the address of its events, the last hour first."""
    hours, since = refusals.hours, refusals.read_since or refusals.starts()[0]
    for index, start in reversed(list(enumerate(refusals.starts()))):
        end = start + HOUR
        yield {
            "start": start,
            "number": f"{hours[index]:,}{'+' if start < since else ''}" if end > since else "",
            "url": hour_url(start, client=name, kind__exact=Kind.REFUSED.value),
            "reasons": ", ".join(
                f"{reason} {number:,}"
                for reason in reasons
                if (number := refusals.reasons[reason][index])
            ),
        }


def _event(event: AuditEvent) -> dict[str, Any]:
    return {
        "time": ago(event.occurred_at),
        "kind": badge(event.kind),
        "reason": reason_link(event.reason, event.fields_at_fault),
        "message": message_link(event.message_id),
        "address": address_link(event.source_ip),
    }
