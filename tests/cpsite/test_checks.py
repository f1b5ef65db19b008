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
def configured(settings, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
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
        ("uploader", "S3_BUCKET", "s3://lake", "cpsite.E004", "the bucket's name alone"),
        ("uploader", "S3_BUCKET", "lake/folder", "cpsite.E004", "S3_PREFIX"),
        ("uploader", "S3_BUCKET", "https://lake.s3.amazonaws.com", "cpsite.E004", "S3_BUCKET"),
        ("uploader", "S3_BUCKET", "arn:aws:s3:::lake", "cpsite.E004", "S3_BUCKET"),
        ("uploader", "S3_BUCKET", "arn:aws:s3::123456789012:accesspoint/m.mrap", "cpsite.E004", ""),
        ("uploader", "S3_BUCKET", "lake--use1-az4--x-s3", "cpsite.E004", "directory bucket"),
        ("uploader", "SQS_DLQ_URL", QUEUE_URL, "cpsite.E010", "the same queue"),
        ("validator", "SQS_DLQ_URL", QUEUE_URL + "/", "cpsite.E010", "the same queue"),
        ("uploader", "SQS_DLQ_URL", "dead", "cpsite.E010", "SQS_DLQ_URL"),
        ("uploader", "SQS_DLQ_URL", QUEUE_URL + "-dlq.fifo", "cpsite.E010", "standard queue"),
        ("validator", "AWS_REGION", "eu-west-1", "cpsite.E011", "sqs.eu-west-1.amazonaws.com"),
        ("uploader", "SQS_QUEUE_URL", "http://localhost:4566/0/q", "cpsite.E011", "localhost:4566"),
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


@pytest.mark.parametrize("variable", ["HOST", "METRICS_HOST"])
@pytest.mark.parametrize(
    "value", ["256.0.0.1", "::1::", "192.0.2.1", "[::1", "no.such.host.invalid"]
)
def test_gunicorn_names_the_variable_of_a_host_that_it_cannot_listen_on(variable, value):
    started = _gunicorn(**{variable: value}, PORT="0", **PRODUCTION)
    assert started.returncode != 0
    assert f'"{variable}"' in started.stderr
    assert "Traceback" not in started.stderr


def test_gunicorn_demands_the_memory_that_its_configuration_needs():
    started = _gunicorn(PORT="0", WEB_CONNECTIONS="1000000000", **PRODUCTION)
    assert started.returncode != 0
    assert "WEB_CONNECTIONS=1000000000" in started.stderr
    assert "MiB of memory" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_uploader_command_refuses_to_start_without_a_queue():
    started = _manage("run_uploader", S3_BUCKET="messages")
    assert started.returncode == 1
    assert "SQS_QUEUE_URL" in started.stderr
    assert "Traceback" not in started.stderr


def test_an_endpoint_of_an_emulator_does_not_fit_a_queue_of_aws(configured, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://localhost:4566")
    with pytest.raises(SystemCheckError, match=r"cpsite\.E011"):
        checks.require(checks.UPLOADER)
    configured.SQS_QUEUE_URL = "http://sqs.us-east-1.localhost.localstack.cloud:4566/0/q"
    checks.require(checks.UPLOADER)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "queue.amazonaws.com"),
        ("eu-west-1", "eu-west-1.queue.amazonaws.com"),
        ("us-east-2", "sqs-fips.us-east-2.amazonaws.com"),
        ("eu-west-1", "sqs.eu-west-1.api.aws"),
        ("cn-north-1", "sqs.cn-north-1.amazonaws.com.cn"),
        ("eu-west-1", "vpce-0a1b2c-3d4e.sqs.eu-west-1.vpce.amazonaws.com"),
    ],
)
def test_each_name_of_sqs_in_the_region_is_a_good_one(configured, region, host):
    configured.AWS_REGION = region
    configured.SQS_QUEUE_URL = f"https://{host}/123456789012/cpsite-messages"
    checks.require(checks.UPLOADER)
    configured.AWS_REGION = "ap-south-1"
    with pytest.raises(SystemCheckError, match=r"cpsite\.E011"):
        checks.require(checks.UPLOADER)


@pytest.mark.parametrize("bucket", ["lake", "my.lake", "Old_Lake", "a" * 63])
def test_names_of_buckets_pass(configured, bucket):
    configured.S3_BUCKET = bucket
    checks.require(checks.UPLOADER)


def test_an_access_point_does_for_a_bucket(configured):
    configured.S3_BUCKET = "arn:aws:s3:us-west-2:123456789012:accesspoint/lake"
    checks.require(checks.UPLOADER)


@pytest.mark.parametrize("service", [checks.VALIDATOR, checks.UPLOADER])
def test_a_profile_that_does_not_exist_is_named_once(configured, monkeypatch, service):
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    with pytest.raises(SystemCheckError) as caught:
        checks.require(service)
    assert str(caught.value).count("nobody-has-this") == 1
    assert "cpsite.E012" in str(caught.value)
