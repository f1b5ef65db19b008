"""What is this dead letter, and what do I do with it? As an operator finds out, by clicking."""

import re
import uuid

import pytest

from tests import factories
from tests.waiting import wait_for

LETTERS = "/admin/uploader/deadletterentry/"
WIDTHS = (1440, 1024, 390)
#: What failed five times, yesterday and by what the uploader has recorded.
FAILED = """
import sys, uuid
from datetime import timedelta
from django.utils import timezone
from cpsite.audit.models import AuditEvent, Kind
for number, text in enumerate({ids}):
    about = {{"message_id": uuid.UUID(text), "client": "alice"}}
    moment = timezone.now() - timedelta(hours=20)
    about["accepted_at"] = moment
    AuditEvent.objects.create(kind=Kind.ACCEPTED, occurred_at=moment, **about)
    for attempt in range(1, 6):
        moment += timedelta(minutes=attempt)
        failed = {{"reason": "aws_AccessDenied", "attempts": attempt}}
        AuditEvent.objects.create(kind=Kind.FAILED, occurred_at=moment, **failed, **about)
"""


@pytest.fixture
def is_fine(is_accessible, fits):
    def check(page):
        is_accessible(page)
        fits(page)

    return check


@pytest.fixture
def letters(site):
    """Two messages that S3 has refused, one of a client with a long name, and a foreign one."""
    ours = [
        factories.message(message_id=uuid.uuid4()),
        factories.message(message_id=uuid.uuid4(), client="a-client-with-a-long-name." * 2),
    ]
    bodies = [factories.kombu_envelope(message.encode()) for message in ours]
    sent = [
        site.queue.client.send_message(QueueUrl=site.queue.dlq_url, MessageBody=body)["MessageId"]
        for body in [*bodies, '{"something": "else entirely"}' + " and more" * 500]
    ]
    ids = [str(message.message_id) for message in ours]
    done = site.manage("shell", "--no-imports", "-c", FAILED.format(ids=ids))
    assert done.returncode == 0, done.stderr
    return [*ids, sent[-1]]


def test_a_letter_is_looked_at_and_discarded(page, site, log_in, is_fine, letters):
    ours, _, foreign = letters
    log_in(page)
    page.goto(LETTERS)
    # What is it, and since when?
    page.get_by_role("link", name=ours).click()
    page.get_by_text("It could not be stored").wait_for()
    page.get_by_text("SQS deletes it in").wait_for()
    assert page.locator("dt", has_text="Attempts").locator("+ dd").inner_text().startswith("5 ")
    # What happened to it?
    assert page.locator("table tbody tr").count() == 6
    page.get_by_role("link", name=ours).click()
    page.get_by_role("heading", name=f"Message {ours}").wait_for()
    page.get_by_role("link", name="dead letters", exact=True).click()
    # What is in it?
    page.get_by_role("button", name="Show the content").click()
    page.get_by_role("heading", name="Content").wait_for()
    assert "zwei" in page.locator("pre").inner_text()
    is_fine(page)
    wait_for(lambda: ("read", ours) in site.audit(), "the audit log")
    # And away with the foreign one.
    page.goto(LETTERS)
    page.get_by_label("Tick all that cannot be decoded").check()
    assert page.locator("input[name=letter]:checked").count() == 1
    page.get_by_role("button", name="Discard the ticked ones").click()
    page.get_by_text("1 dead letter will be deleted for good").wait_for()
    page.get_by_text(foreign).wait_for()
    page.get_by_role("link", name="No, back").click()
    page.get_by_role("link", name=foreign).click()
    page.get_by_role("button", name="Discard it").click()
    page.get_by_label("Something else has sent it").check()
    is_fine(page)
    page.get_by_role("button", name="Discard for good").click()
    page.get_by_text("1 discarded, because something else has sent it").wait_for()
    assert site.queue.count(dead=True) == {"visible": 2, "in_flight": 0}
    wait_for(lambda: ("discarded", "foreign") in site.audit(), "the audit log")


def test_an_event_leads_to_its_letter(page, log_in, letters):
    ours = letters[0]
    log_in(page)
    page.goto("/admin/audit/auditevent/?kind__exact=failed")
    page.locator("#result_list").get_by_role("link", name=ours).first.click()
    page.get_by_role("link", name="dead letters", exact=True).click()
    page.wait_for_url(re.compile(f"letter/{ours}/"))
    page.get_by_text("It could not be stored").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_and_are_readable(page, log_in, is_fine, picture, letters, scheme):
    log_in(page)
    page.emulate_media(color_scheme=scheme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        name = f"{width}-{scheme}"
        page.goto(LETTERS)
        is_fine(page)
        picture(page, f"letters-{name}")
        page.get_by_label("Tick all that cannot be decoded").check()
        page.get_by_role("button", name="Discard the ticked ones").click()
        page.get_by_role("button", name="Discard for good").wait_for()
        is_fine(page)
        picture(page, f"discard-{name}")
        for number, letter in enumerate(letters):
            page.goto(f"{LETTERS}letter/{letter}/")
            page.get_by_role("button", name="Show the content").click()
            page.get_by_role("heading", name="Content").wait_for()
            is_fine(page)
            picture(page, f"letter-{number}-{name}")
        page.goto(f"{LETTERS}letter/no-such-id/")
        page.get_by_text("No dead letter with this id was found").wait_for()
        is_fine(page)
