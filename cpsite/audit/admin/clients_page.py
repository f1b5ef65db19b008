"""The table of clients, and the page of one: what it sends, and what becomes of it."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from cpsite.audit.admin import marks
from cpsite.audit.admin.display import (
    address_link,
    ago,
    badge,
    client_link,
    events_url,
    message_link,
    reason_link,
)
from cpsite.audit.admin.filters import LIMIT, values_of
from cpsite.audit.admin.sparkline import sparkline
from cpsite.audit.clients import (
    DAY,
    EVENTS_OF_MANY,
    EVENTS_OF_ONE,
    KINDS,
    Activity,
    Figures,
    read_addresses,
    read_clients,
)
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import WHY, holds_all_messages, recorded_kinds
from cpsite.audit.unstored import UnstoredByClient, count_unstored, find_waiting
from cpsite.message import CLIENT_NAME
from cpsite.moments import span

#: Seconds for which a process caches the figures of the table.
CACHE_SECONDS: Final = 10
#: Addresses in the table, worst first, and events and waiting messages on the page of a client.
ADDRESSES: Final = 20
NEWEST_EVENTS: Final = 20
WAITING_MESSAGES: Final = 20
#: Hours of the chart of refusals.
HOURS: Final = 24


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
    clients = read_clients(names, now, limit=EVENTS_OF_MANY)
    return {
        "clients": [_row(client, unstored) for client in clients],
        "addresses": [
            {"link": address_link(each.name), **_figures(each), "reasons": _reasons(each)}
            for each in read_addresses(now, limit=EVENTS_OF_ONE)[:ADDRESSES]
        ],
        "next": names[-1] if len(names) == LIMIT else "",
        "is_continued": bool(after),
        "limit": EVENTS_OF_MANY,
        "not_recorded": "" if unstored else WHY,
    }


def _row(client: Activity, unstored: UnstoredByClient | None) -> dict[str, Any]:
    return {
        "link": client_link(client.name),
        **_of_client(client),
        "reasons": _reasons(client),
        "waiting": _waiting(unstored, client.name),
    }


def _of_client(activity: Activity) -> dict[str, Any]:
    """Return the figures of a client; without its last request if that may have been accepted."""
    return _figures(activity) | ({} if holds_all_messages() else {"last_seen": ""})


def _figures(activity: Activity) -> dict[str, Any]:
    """Return the figures of each kind, for the hour and the day, each with its events' address."""
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
                "hour_url": _events_of(activity, kind, "1h"),
                "day_url": _events_of(activity, kind, "24h"),
            }
            for kind in KINDS
        ],
        "last_seen": ago(activity.last_seen) if activity.last_seen else "",
        "is_bounded": activity.is_bounded,
    }


def _is_within_the_hour(activity: Activity) -> bool:
    since = activity.read_since
    return since is not None and since > timezone.now() - timedelta(hours=1)


def _figure(figures: Figures, kind: Kind, more: str) -> str:
    return f"{figures.kinds[kind]:,}{more}" if kind in recorded_kinds() else "-"


def _events_of(activity: Activity, kind: Kind, since: str) -> str:
    about = {"client": activity.name} if CLIENT_NAME.fullmatch(activity.name) else {}
    return events_url(**about, kind__exact=kind.value, since=since)


def _reasons(activity: Activity) -> list[tuple[Any, str]]:
    """Return the reasons of a day's refusals and failures, the most frequent first."""
    more = "+" if activity.is_bounded else ""
    most_first = sorted(activity.day.reasons.items(), key=lambda pair: -pair[1])
    return [(reason_link(reason), f"{number:,}{more}") for (_, reason), number in most_first]


def _waiting(counted: UnstoredByClient | None, client: str) -> str:
    """Say how long the oldest unstored message waits; "over" where older ones were not read."""
    unstored = counted.clients.get(client) if counted else None
    if counted is None or unstored is None:
        return ""
    over = "" if counted.is_all else "over "
    age = timezone.now() - unstored.oldest
    text = f"{unstored.number:,}, the oldest for {over}{span(age)}"
    return format_html("{}{}", marks.of_age(age), text)


def context_of(name: str) -> dict[str, Any]:
    """Return what the template `admin/audit/client.html` shows. Raises Http404 without events."""
    now = timezone.now()
    of_client = AuditEvent.objects.filter(client=name)
    newest = list(of_client[:NEWEST_EVENTS])
    if not newest:
        raise Http404("The audit log knows no such client.")
    (activity,) = read_clients([name], now, limit=EVENTS_OF_ONE)
    unstored = count_unstored(now, client=name) if holds_all_messages() else None
    waiting = find_waiting(now, client=name).messages if unstored else ()
    return {
        "name": name,
        **_of_client(activity),
        "reasons": _reasons(activity),
        "chart": _chart_of_refusals(name, now),
        "waiting_summary": _waiting(unstored, name),
        "not_recorded": "" if unstored else WHY,
        "waiting": [
            (message_link(each.message_id), ago(each.accepted_at or now))
            for each in waiting[:WAITING_MESSAGES]
        ],
        "events": [_event(each) for each in newest],
        "all_events": events_url(client=name),
        "limit": EVENTS_OF_ONE,
    }


def _chart_of_refusals(name: str, now: datetime) -> Any:
    """Draw the refusals of each hour, from the newest EVENTS_OF_ONE of the client."""
    newest = AuditEvent.objects.filter(client=name, occurred_at__gte=now - DAY)
    hours = [0] * HOURS
    for moment, kind in newest.values_list("occurred_at", "kind")[:EVENTS_OF_ONE]:
        if kind == Kind.REFUSED:
            hours[max(0, HOURS - 1 - int((now - moment) / timedelta(hours=1)))] += 1
    return sparkline("refused", hours)


def _event(event: AuditEvent) -> dict[str, Any]:
    return {
        "time": ago(event.occurred_at),
        "kind": badge(event.kind),
        "reason": reason_link(event.reason, event.fields_at_fault),
        "message": message_link(event.message_id),
        "address": address_link(event.source_ip),
    }
