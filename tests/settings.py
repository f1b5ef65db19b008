"""The product's settings with what every test needs. Real services are set by fixtures."""

import os
import tempfile
from pathlib import Path

for name in list(os.environ):
    # Nothing of the machine's AWS set-up or of a developer's shell may leak into a test.
    if name.startswith(
        ("API_TOKENS", "AUDIT_", "AWS_", "DJANGO_SECRET", "S3_", "SQS_", "THROTTLE_", "UPLOADER_")
    ):
        del os.environ[name]

os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "API_TOKENS": '{"alice": ["alice-token-1", "alice-token-2"], "bob": ["bob-token-1"]}',
    "DJANGO_SECRET_KEY": "tests-only-" + "x" * 50,
    # Also for the processes that tests start.
    "CONTRACT_MODULE": "tests.contract",
}

from cpsite.settings import *  # noqa: E402, F403

# moto's server would write a line for each call.
LOGGING["loggers"]["werkzeug"] = {"level": "WARNING"}  # noqa: F405

_scratch = Path(tempfile.mkdtemp(prefix="cpsite-tests-"))
STATIC_ROOT = _scratch
# Whether or not `make run` has collected files in this checkout.
WHITENOISE_USE_FINDERS = True
# A file is looked for when it is asked for: the client of each test would look for all of them.
WHITENOISE_AUTOREFRESH = True
UPLOADER_HEARTBEAT_FILE = str(_scratch / "heartbeat")
# No long polls: draining an empty queue must not take a second in each of many tests.
UPLOADER_WAIT_SECONDS = 0
# Slow on purpose in production, and tests log in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
