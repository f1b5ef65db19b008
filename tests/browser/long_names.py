"""Contracts, events and a dead letter whose values are as long as they may be, without a blank.

`CONTRACT_MODULE` names this module; `EVENTS` is code for `manage.py shell`.
"""

from tests.every_kind import Everything, Reading
from validator.contracts import Contract
from validator.fields import Text

CONTRACT = "measurements_of_the_turbines_1"
CLIENT = "turbines-of-the-northern-site-and-their-gateways-with-firmware-2"
REASON = "contract_a_code_of_an_adopter_that_is_as_long_as_a_column_may_be"
ADDRESS = "2001:db8:85a3:1111:2222:8a2e:3703:7334"
ACTOR = "shell:deployment-and-operations@bastion-host-1.eu-central-1.compute.internal"
MESSAGE_ID = "6b1f1d5e-0000-4000-8000-000000000001"
FAILED_ID = "00000000-0000-0000-0000-000000000001"
WAITING_ID = "00000000-0000-0000-0000-000000000009"
OBJECT_KEY = f"messages/{CONTRACT}/2026/11/26/23/20261126T235959.123456Z-{MESSAGE_ID}.json"
BATCHED_ID = "00000000-0000-0000-0000-00000000000b"
BATCH_KEY = f"messages/{CONTRACT}/2026/11/26/0123456789abcdef0123456789abcdef.ndjson.gz"
assert (len(CONTRACT), len(CLIENT), len(REASON)) == (30, 64, 64)

#: One message that was accepted, failed, redriven, read and stored; three that have failed; one of
#: which no event says what became of it; a refused request; some that are short; refusals of a
#: client for seven reasons; one of a client that has fallen silent; one that is stored in a batch.
EVENTS = f"""
import uuid
from datetime import timedelta
from django.utils import timezone
from cpsite.audit.models import AuditEvent, Kind
start = timezone.now() - timedelta(hours=2)
def add(kind, seconds, **about):
    AuditEvent.objects.create(kind=kind, occurred_at=start + timedelta(seconds=seconds), **about)
about = dict(client={CLIENT!r}, source_ip={ADDRESS!r}, contract={CONTRACT!r}, accepted_at=start)
message = dict(about, message_id=uuid.UUID({MESSAGE_ID!r}))
stored = dict(object_key={OBJECT_KEY!r}, payload_sha256="0123456789abcdef" * 4, attempts=2)
add(Kind.ACCEPTED, 0, duration_ms=2147483647, **message)
add(Kind.FAILED, 1, reason={REASON!r}, attempts=2147483647, **message)
add(Kind.REDRIVEN, 2, actor={ACTOR!r}, **message)
add(Kind.STORED, 3, duration_ms=12, **stored, **message)
add(Kind.READ, 4, reason="object_opened", actor={ACTOR!r}, **message)
for number in range(3):
    waiting = dict(about, message_id=uuid.UUID(int=number))
    add(Kind.ACCEPTED, 5, duration_ms=3, **waiting)
    add(Kind.FAILED, 6, reason={REASON!r}, attempts=1, **waiting)
add(Kind.ACCEPTED, 6, **dict(about, message_id=uuid.UUID({WAITING_ID!r})))
add(Kind.REFUSED, 7, reason={REASON!r}, source_ip={ADDRESS!r}, contract={CONTRACT!r})
for number in range(20):
    add(Kind.REFUSED, 8 + number, reason="token_unknown", source_ip="192.0.2.1")
    add(Kind.ACCEPTED, 8 + number, client="alice", message_id=uuid.uuid4(), duration_ms=4)
refused = dict(client={CLIENT!r}, source_ip={ADDRESS!r})
for number in range(7):
    for hours in range(0, 3 * (7 - number), 3):
        add(Kind.REFUSED, 40 - 3600 * hours, reason={REASON!r}[:64 - number], **refused)
add(Kind.REFUSED, -30 * 3600, **dict(refused, client="quiet", reason="malformed_json"))
batched = dict(stored, object_key={BATCH_KEY!r}, message_id=uuid.UUID({BATCHED_ID!r}))
add(Kind.STORED, 30, **dict(about, **batched))
"""


class MeasurementsOfTheTurbines1(Contract):
    """What each turbine has measured, with the names that its manufacturer gives it."""

    class Meta:
        name = CONTRACT

    temperature_of_the_main_bearing_of_the_generator_in_celsius = Text(example="61.5")
    serial = Text(example="x" * 200, help_text="x" * 200, required=False)


CONTRACTS = [Everything, MeasurementsOfTheTurbines1, Reading]
