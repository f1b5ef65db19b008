import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management.base import SystemCheckError

from cpsite import checks

ROOT = Path(__file__).parents[2]
QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/cpsite-messages"

#: What a production task would get.
PRODUCTION = {
    "DJANGO_SECRET_KEY": "k3Jx9_q" * 10,
    "DJANGO_ALLOWED_HOSTS": "api.example.com",
    "DJANGO_HTTPS": "true",
    "TRUSTED_PROXIES": "1",
    "SQS_QUEUE_URL": QUEUE_URL,
    "S3_BUCKET": "messages",
    "API_TOKENS_PARAMETER": "/cpsite/prod/api-tokens",
    "LOG_FORMAT": "json",
}


@pytest.fixture
def configured(settings):
    settings.SQS_QUEUE_URL = QUEUE_URL
    settings.S3_BUCKET = "messages"
    return settings


@pytest.mark.parametrize("service", [checks.VALIDATOR, checks.UPLOADER])
def test_a_good_configuration_passes(configured, service):
    checks.require(service)


@pytest.mark.parametrize(
    ("service", "setting", "value", "identifier", "named"),
    [
        ("validator", "API_TOKENS", "", "cpsite.E001", "API_TOKENS"),
        ("validator", "API_TOKENS_PARAMETER", "/both", "cpsite.E001", "Both"),
        ("validator", "API_TOKENS", "short", "cpsite.E002", "API_TOKENS"),
        ("validator", "SQS_QUEUE_URL", "", "cpsite.E003", "SQS_QUEUE_URL"),
        ("uploader", "SQS_QUEUE_URL", "cpsite-messages", "cpsite.E003", "SQS_QUEUE_URL"),
        ("uploader", "SQS_QUEUE_URL", QUEUE_URL + ".fifo", "cpsite.E003", "FIFO"),
        ("uploader", "S3_BUCKET", "", "cpsite.E004", "S3_BUCKET"),
        ("validator", "SECRET_KEY", "django-insecure-x", "cpsite.E005", "DJANGO_SECRET_KEY"),
        ("validator", "MAX_BODY_BYTES", 400_000, "cpsite.E006", "MAX_BODY_BYTES"),
    ],
)
def test_a_bad_value_is_named(configured, service, setting, value, identifier, named):
    setattr(configured, setting, value)
    with pytest.raises(SystemCheckError) as caught:
        checks.require(service)
    assert identifier in str(caught.value)
    assert named in str(caught.value)


def test_the_uploader_needs_no_tokens(configured):
    configured.API_TOKENS = ""
    checks.require(checks.UPLOADER)


def test_a_directory_does_for_a_bucket(configured):
    configured.S3_BUCKET, configured.MESSAGES_DIRECTORY = "", "/somewhere"
    checks.require(checks.UPLOADER)


def test_in_debug_a_secret_key_is_optional(configured):
    configured.DEBUG, configured.SECRET_KEY = True, "django-insecure-x"
    checks.require(checks.VALIDATOR)


def _manage(*arguments, **environment):
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_deployment_checks_are_clean_under_production_settings():
    checked = _manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_plain_commands_need_no_configuration():
    checked = _manage("check")
    assert checked.returncode == 0, checked.stderr


def test_a_value_of_the_wrong_type_is_one_line_that_names_the_variable():
    checked = _manage("check", UPLOADER_CONCURRENCY="many")
    assert checked.returncode == 1
    assert "UPLOADER_CONCURRENCY" in checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THROTTLE_CLIENT_RATE", "100"),
        ("THROTTLE_CLIENT_RATE", "5/x"),
        ("THROTTLE_REFUSED_RATE", "0/s"),
        ("S3_PREFIX", "/messages/"),
        ("S3_PREFIX", "messages"),
        ("S3_PREFIX", "data//messages/"),
        ("S3_PREFIX", "../messages/"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_could_only_fail_later_fails_now(name, value):
    checked = _manage("check", **{name: value})
    assert checked.returncode == 1
    assert name in checked.stderr
    assert "Traceback" not in checked.stderr


def _gunicorn(**environment):
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "python:cpsite.gunicorn"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_gunicorn_refuses_to_start_without_tokens_and_says_so():
    clean = {name: value for name, value in PRODUCTION.items() if "TOKENS" not in name}
    started = _gunicorn(PORT="0", **clean)
    assert started.returncode != 0
    assert "No API token is configured" in started.stderr
    assert "Traceback" not in started.stderr


def test_gunicorn_names_a_bad_variable():
    started = _gunicorn(WEB_CONNECTIONS="0")
    assert started.returncode != 0
    assert "WEB_CONNECTIONS" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_uploader_command_refuses_to_start_without_a_queue():
    started = _manage("run_uploader", S3_BUCKET="messages")
    assert started.returncode == 1
    assert "SQS_QUEUE_URL" in started.stderr
    assert "Traceback" not in started.stderr
