"""The sabotages fit what they change."""

import os
import subprocess
import sys

from bench.environment import ROOT
from tests.chaos import sabotage
from tests.chaos.sabotage import SABOTAGES

#: Imports all that is changed, and says what has become of it.
_SCRIPT = """
import django
django.setup()
import cpsite.audit.recorder, cpsite.credentials, cpsite.message, cpsite.queue.client
import uploader.handler, uploader.storage_outage, validator.idempotency
for changed in (
    cpsite.audit.recorder._lose,
    cpsite.message.Message.encode,
    cpsite.queue.client._outcome,
    cpsite.credentials.CredentialsUnavailable.__init__,
    uploader.handler.action,
    uploader.handler.Handler._store_parts,
    uploader.handler.Handler.leave_undecodable,
    uploader.handler.object_key,
    uploader.storage_outage.StorageOutage.wait,
    validator.idempotency.claim,
):
    print(changed.__code__.co_filename)
"""


def test_each_one_changes_what_is_there():
    environment = os.environ | sabotage.environment(",".join(SABOTAGES))
    environment |= {"DJANGO_SETTINGS_MODULE": "cpsite.settings"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all("saboteur" in line for line in done.stdout.split())
    assert len(done.stdout.split()) == 10


def test_without_a_name_nothing_is_changed():
    assert sabotage.environment("") == {}
