"""The admin as an operator uses it: what was refused, where a message is, what to send back."""

import csv
import json
import re
from pathlib import Path

import pytest

from tests import factories
from tests.browser.conftest import ADMIN
from tests.waiting import wait_for

LIST = "/admin/audit/auditevent/"
WAITING = f"{LIST}waiting/"
LETTERS = "/admin/uploader/deadletterentry/"
#: A day of events: most messages stored, some later than at once, a few not at all.
A_DAY = """
import random, uuid
from datetime import timedelta
from django.utils import timezone
from cpsite.audit.models import AuditEvent, Kind
random.seed(1)
events = []
for number in range(400):
    client = random.choice(["alice", "bob"])
    about = {"message_id": uuid.UUID(int=random.getrandbits(128), version=4), "client": client}
    moment = timezone.now() - timedelta(seconds=120 + 86_000 * random.random() ** 1.5)
    about["accepted_at"] = moment
    events.append(AuditEvent(kind=Kind.ACCEPTED, occurred_at=moment, duration_ms=4, **about))
    if number % 9 == 0:
        moment += timedelta(seconds=1)
        failed = {"reason": "aws_SlowDown", "attempts": 1}
        events.append(AuditEvent(kind=Kind.FAILED, occurred_at=moment, **failed, **about))
    if number % 130:
        moment += timedelta(seconds=0.3 if number % 9 else 30)
        events.append(AuditEvent(kind=Kind.STORED, occurred_at=moment, attempts=1, **about))
for number in range(90):
    moment = timezone.now() - timedelta(seconds=86_000 * random.random())
    reason = random.choice(["token_unknown", "malformed_json", "contract_required"])
    events.append(AuditEvent(kind=Kind.REFUSED, occurred_at=moment, reason=reason))
AuditEvent.objects.bulk_create(events)
"""


@pytest.fixture
def a_day(site):
    done = site.manage("shell", "--no-imports", "-c", A_DAY)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def is_fine(is_accessible, fits):
    """Return what checks a page: no violation found by axe, and not wider than the screen."""

    def check(page):
        is_accessible(page)
        fits(page)

    return check


def _letter(site):
    """A message of alice's among the dead letters."""
    message = factories.message()
    site.queue.client.send_message(
        QueueUrl=site.queue.dlq_url, MessageBody=factories.kombu_envelope(message.encode())
    )
    return message


def _kinds(page):
    badges = page.locator("#result_list .field-kind_badge")
    return {text.split()[-1] for text in badges.all_inner_texts()}


def test_a_message_is_found_from_refusal_to_object(page, site, log_in, is_fine, picture, a_day):
    site.uploader()
    _, accepted = site.post(factories.fields())
    site.post(factories.fields(), token="nobodys")
    message_id = accepted["message_id"]
    wait_for(lambda: ("stored", message_id) in site.audit(), "the audit log")
    log_in(page)
    is_fine(page)
    page.get_by_role("link", name="Audit events").click()
    page.get_by_role("heading", name="The last 24 hours").wait_for()
    picture(page, "admin-audit")
    is_fine(page)

    # What was refused, and why.
    page.get_by_role("link", name="Refused in the last hour", exact=True).click()
    page.wait_for_url(re.compile("kind__exact=refused"))
    assert _kinds(page) == {"refused"}
    page.locator("#changelist-filter").get_by_role("link", name="token_unknown").click()
    page.wait_for_url(re.compile("reason=token_unknown"))
    reasons = page.locator("#result_list .field-reason_link")
    assert set(reasons.all_inner_texts()) == {"token_unknown"}
    assert "since=1h" in page.url
    is_fine(page)

    # Where is this message?
    page.get_by_role("link", name="Everything").click()
    page.get_by_role("heading", name="The last 24 hours").wait_for()
    page.locator("#searchbar").fill(message_id)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name=f"Message {message_id}").wait_for()
    rows = page.locator("table tbody tr")
    assert [row.locator(".audit-badge").inner_text() for row in rows.all()] == [
        "→ accepted",
        "✓ stored",
    ]
    picture(page, "admin-message")
    is_fine(page)
    link = page.get_by_role("link", name=re.compile(r"\.json$"))
    stored = page.request.get(link.get_attribute("href"))
    assert json.loads(stored.body())["data"] == factories.fields()
    rows.first.get_by_role("link").first.click()
    page.get_by_text("View audit event").wait_for()
    is_fine(page)


def test_what_is_not_stored_is_listed(page, log_in, is_fine, picture, a_day):
    log_in(page)
    page.goto(LIST)
    page.get_by_role("link", name=re.compile(r"\d messages")).click()
    page.wait_for_url(f"**{WAITING}")
    assert page.locator("table tbody tr").count() == 4
    picture(page, "admin-waiting")
    is_fine(page)
    page.get_by_role("link", name="For more than 1 hour").click()
    page.wait_for_url(re.compile("older=3600"))
    assert page.locator("table tbody tr").count() <= 4
    page.locator("table tbody tr").first.get_by_role("link").first.click()
    page.get_by_text("no event says that it is stored").or_(
        page.get_by_text("The last attempt to store it failed")
    ).wait_for()


def test_a_time_is_chosen_and_events_are_exported(page, log_in, a_day, tmp_path):
    log_in(page)
    page.goto(f"{LIST}?kind__exact=failed")
    page.get_by_label("From").fill("2026-01-01T00:00:00")
    page.get_by_label("Until").fill("2099-01-01T00:00:00")
    page.get_by_role("button", name="Show this time").click()
    page.wait_for_url(re.compile("from=2026"))
    assert _kinds(page) == {"failed"}
    assert page.get_by_label("From").input_value().startswith("2026-01-01T00:00")
    shown = page.locator("#result_list tbody tr").count()
    assert shown > 1
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("export_csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Run the selected action").or_(
            page.get_by_role("button", name="Go")
        ).click()
    assert re.fullmatch(r"audit-events-\d{8}T\d{6}Z\.csv", download.value.suggested_filename)
    download.value.save_as(tmp_path / "events.csv")
    with Path(tmp_path / "events.csv").open() as file:
        exported = list(csv.DictReader(file))
    assert len(exported) == shown
    assert {row["reason"] for row in exported} == {"aws_SlowDown"}


def test_dead_letters_are_sent_back_by_the_keyboard_alone(page, site, log_in, is_fine, picture):
    message = _letter(site)
    log_in(page)
    page.goto(LETTERS)
    page.get_by_role("link", name=str(message.message_id)).wait_for()
    picture(page, "admin-dead-letters")
    is_fine(page)
    page.get_by_label("Tick all of our messages").focus()
    page.keyboard.press("Space")
    assert page.get_by_label(f"Tick {message.message_id}").is_checked()
    page.get_by_role("button", name="Send the ticked ones back").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 sent back to the queue").wait_for()
    page.get_by_text("There are no dead letters").wait_for()
    is_fine(page)
    assert site.queue.count()["visible"] == 1
    assert site.queue.count(dead=True)["visible"] == 0
    wait_for(lambda: ("redriven", str(message.message_id)) in site.audit(), "the audit log")


def test_empty_pages_say_why(page, log_in, is_fine):
    log_in(page)
    for address, told in (
        (LIST, "Nothing has happened yet"),
        (f"{LIST}?kind__exact=failed", "No event fits these filters"),
        (f"{LIST}?q=nobody", "Nothing is found for “nobody”"),
        (f"{LIST}message/6b1f1d5e-0000-4000-8000-000000000001/", "knows no such message"),
        (WAITING, "Nothing was accepted"),
        (LETTERS, "There are no dead letters"),
    ):
        page.goto(address)
        page.get_by_text(told).first.wait_for()
        is_fine(page)


def test_it_fits_a_phone_and_is_readable_in_the_dark(phone, site, log_in, is_fine, picture, a_day):
    message = _letter(site)
    log_in(phone)
    for scheme in ("light", "dark"):
        phone.emulate_media(color_scheme=scheme)
        for name, address in {
            "audit": LIST,
            "refused": f"{LIST}?kind__exact=refused&since=24h",
            "waiting": WAITING,
            "dead-letters": LETTERS,
        }.items():
            phone.goto(address)
            is_fine(phone)
            picture(phone, f"admin-{name}-phone-{scheme}")
    phone.goto(f"{LIST}?reason=aws_SlowDown")
    phone.locator("#result_list .audit-id").first.click()
    phone.get_by_role("heading", name="Timeline").wait_for()
    is_fine(phone)
    picture(phone, "admin-message-phone")
    phone.goto(LETTERS)
    phone.get_by_label(f"Tick {message.message_id}").check()


#: The texts that style sheets put before cells and values.
LABELS = """place => [...document.querySelectorAll(place)]
  .map((each) => getComputedStyle(each, "::before").content)
  .filter((content) => content !== "none" && content !== "normal")"""


def test_each_value_has_one_label(phone, log_in, a_day):
    log_in(phone)
    phone.goto(f"{LIST}?kind__exact=failed")
    row = "#result_list tbody tr:first-child"
    assert phone.evaluate(LABELS, f"{row} td:not([data-empty])") == [
        f'"{name} "' for name in ("Reason", "Client", "Message")
    ]
    phone.locator(f"{row} th a").click()
    phone.get_by_text("View audit event").wait_for()
    assert phone.evaluate(LABELS, "#content .form-row *") == []
    assert phone.get_by_text("Client:").count() == 1


def test_all_rows_are_ticked_where_they_are_cards(phone, log_in, a_day):
    log_in(phone)
    phone.goto(f"{LIST}?kind__exact=failed")
    phone.locator("#action-toggle").check()
    assert phone.locator("#result_list tbody :checked").count() > 1


def test_who_guesses_passwords_has_to_wait(page, site, is_fine, picture):
    page.goto("/admin/")
    is_fine(page)
    picture(page, "admin-login")
    for number in range(10):
        page.get_by_label("Username").fill(ADMIN[0])
        page.get_by_label("Password").fill(f"guess {number}")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Please enter the correct" if number < 9 else "Too many").first.wait_for()
    is_fine(page)
    picture(page, "admin-login-throttled")
    # Neither of the two processes looks at the right one now.
    for _ in range(4):
        page.goto("/admin/")
        page.get_by_label("Username").fill(ADMIN[0])
        page.get_by_label("Password").fill(ADMIN[1])
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Try again in 15 minutes").wait_for()
    lines = [line for line in site.started[0].lines() if line["logger"] == "cpsite.web.admin_login"]
    events = [line["event"] for line in lines]
    assert events[:9] == ["admin_login_failed"] * 9
    # Each process tells once a minute that an address has to wait.
    assert set(events[9:]) == {"admin_login_throttled"}
    assert len(events[9:]) <= 2
