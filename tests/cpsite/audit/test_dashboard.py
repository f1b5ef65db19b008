"""The landing page of the admin: the figures, for who may see them."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.utils import timezone

from cpsite.audit.admin import queues
from cpsite.audit.models import AuditEvent, Kind
from tests.cpsite.audit.test_roles import member
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db
INDEX = "/admin/"
FRAGMENT = "/admin/audit/auditevent/dashboard/"
LIST = "/admin/audit/auditevent/"
LETTERS = "/admin/uploader/deadletterentry/"


def test_the_landing_page_is_the_dashboard(admin_client):
    AuditEvent.objects.create(kind=Kind.REFUSED, client="alice", reason="malformed_json")
    page = admin_client.get(INDEX).content.decode()
    assert f'data-refresh="{FRAGMENT}"' in page
    assert 'aria-label="1 refused in the last hour"' in page
    assert f'href="{LIST}?kind__exact=refused&amp;since=1h"' in page
    assert f'href="{LIST}?reason=malformed_json&amp;since=24h"' in page
    assert "<title>1 refused, 0 h ago</title>" in page
    assert f'href="{LIST}clients/"' in page


def test_its_script_gets_the_figures_alone(admin_client):
    fragment = admin_client.get(FRAGMENT).content.decode()
    assert "The last 24 hours</h2>" in fragment
    assert "<html" not in fragment
    cache.clear()
    event = AuditEvent(kind=Kind.STORED, occurred_at=timezone.now() - timedelta(seconds=1))
    event.save()
    assert 'aria-label="1 stored in the last hour"' in admin_client.get(FRAGMENT).content.decode()


@pytest.mark.parametrize(
    ("groups", "status", "shown"), [([], 403, False), (["Viewers"], 200, True)]
)
def test_who_may_not_see_the_log_sees_no_figures(client, groups, status, shown):
    client.force_login(member(*groups))
    assert client.get(FRAGMENT).status_code == status
    assert ("The last 24 hours</h2>" in client.get(INDEX).content.decode()) == shown
    client.logout()
    assert client.get(FRAGMENT).status_code == 302


def test_many_reasons_are_folded_after_the_first(admin_client):
    for number in range(5):
        AuditEvent.objects.create(kind=Kind.REFUSED, reason=f"reason_{number}")
    page = admin_client.get(INDEX).content.decode()
    assert "<summary>2 more</summary>" in page


@pytest.fixture(autouse=True)
def _no_client_of_another_test(monkeypatch):
    queues._sampler.cache_clear()
    monkeypatch.setattr(queues, "WAIT_SECONDS", 60)  # the machine may be slow


def test_it_says_what_is_stuck_and_since_when(admin_client, queue):
    page = " ".join(admin_client.get(FRAGMENT).content.decode().split())
    assert "No message waits" in page
    cache.clear()
    accepted_at = timezone.now() - timedelta(minutes=12)
    AuditEvent.objects.create(kind=Kind.ACCEPTED, message_id=uuid.uuid4(), occurred_at=accepted_at)
    for number in range(3):
        queue.send(str(number))
    page = " ".join(admin_client.get(FRAGMENT).content.decode().split())
    assert "The oldest message waits for 12 min" in page
    assert f'href="{LIST}waiting/" aria-label="3 visible in the queue">3</a>' in page
    assert f'href="{LETTERS}" aria-label="0 visible in the dead-letter queue">0</a>' in page
    assert "Dead-letter queue</a></th>" in page


def test_a_message_that_is_retried_while_later_ones_are_stored_waits(admin_client):
    now = timezone.now()
    for minutes, stored in ((30, False), (20, True)):
        accepted_at, message_id = now - timedelta(minutes=minutes), uuid.uuid4()
        about = {"message_id": message_id, "accepted_at": accepted_at}
        AuditEvent.objects.create(kind=Kind.ACCEPTED, occurred_at=accepted_at, **about)
        if stored:
            later = accepted_at + timedelta(seconds=1)
            AuditEvent.objects.create(kind=Kind.STORED, occurred_at=later, **about)
    page = " ".join(admin_client.get(FRAGMENT).content.decode().split())
    assert "The oldest message waits for 30 min" in page


def test_a_queue_that_does_not_answer_is_unknown(admin_client, settings):
    settings.SQS_QUEUE_URL = "http://127.0.0.1:9/000000000000/q"
    page = admin_client.get(FRAGMENT).content.decode()
    assert page.count(">unknown</a></td>") == 3


def test_a_queue_that_hangs_holds_up_no_page(admin_client, queue, monkeypatch):
    answered = threading.Event()

    def hang(self, name, url):
        answered.wait(60)
        return {"visible": 7.0, "in_flight": 0.0, "delayed": 0.0}

    monkeypatch.setattr(queues.QueueDepthSampler, "depths", hang)
    monkeypatch.setattr(queues, "WAIT_SECONDS", 0.01)
    page = admin_client.get(FRAGMENT).content.decode()
    assert page.count(">unknown</a></td>") == 6
    assert "No message waits" in page
    answered.set()
    wait_for(lambda: queues.read_queues()["messages"].visible == 7, "the late answer")


def test_who_may_not_see_letters_has_no_link_to_them(client, queue):
    viewer = User.objects.create_user("auditor", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    client.force_login(viewer)
    page = client.get(FRAGMENT).content.decode()
    assert "Dead-letter queue" in page
    assert LETTERS not in page


@pytest.mark.parametrize("serves", ["admin", "api"])
def test_it_asks_only_for_what_its_role_may_see(admin_client, queue, settings, serves):
    settings.SERVES_ADMIN, settings.SERVES_API = serves == "admin", serves == "api"
    found = queues.read_queues()
    assert found.keys() == ({"dead_letters"} if serves == "admin" else {"messages"})
