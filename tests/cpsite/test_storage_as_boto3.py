"""Writes by obstore go where boto3 would send them, trusted, signed and refused alike."""

import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import obstore.store
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cpsite import aws, credentials, storage
from cpsite.aws import StorageUnreachable, describe
from cpsite.credentials import CredentialsUnavailable
from cpsite.storage import MessageS3Storage
from tests.stands import s3
from tests.stands.credentials import Sts
from tests.stands.s3 import S3
from tests.stands.server import Answer, Stand
from tests.stands.tls import make_certificates
from tests.waiting import wait_for

KEY = "messages/2026/11/23/6b1f1d5e-0000-4000-8000-000000000001.json"


class Proxy(Stand):
    """Answers for every host, and so sees where each request would have gone."""

    def answer(self, request):
        return Answer(200, "", {"ETag": '"e"'})


@pytest.fixture
def env(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("AWS_ENDPOINT", "HTTP"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    aws.credentials.cache_clear()
    yield monkeypatch
    aws.credentials.cache_clear()


def make(**options):
    config = options.pop("config", {})
    client_config = Config(
        signature_version="s3v4",
        connect_timeout=2,
        read_timeout=2,
        retries={"mode": "standard", "total_max_attempts": 1},
        **config,
    )
    return MessageS3Storage(
        **{"bucket_name": "lake", "region_name": "eu-west-1", "client_config": client_config}
        | options
    )


def _save(made, body=b"{}"):
    from django.core.files.base import ContentFile

    return made.save(KEY, ContentFile(body))


def _host(request):
    parts = urlsplit(request.path)
    return parts.netloc or request.headers["host"], parts.path


def _scope(request):
    return re.search(r"Credential=[^/]+/\d+/(.*?),", request.headers["authorization"])[1]


ACCESS_POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/lake"
CONFIGURATIONS = {
    "default": {},
    "us-east-1": {"region_name": "us-east-1"},
    "China": {"region_name": "cn-north-1"},
    "GovCloud": {"region_name": "us-gov-west-1"},
    "another bucket": {"bucket_name": "my.lake"},
    "path style": {"config": {"s3": {"addressing_style": "path"}}},
    "virtual style": {"config": {"s3": {"addressing_style": "virtual"}}},
    "dualstack": {"config": {"use_dualstack_endpoint": True}},
    "FIPS": {"region_name": "us-east-2", "config": {"use_fips_endpoint": True}},
    "FIPS and dualstack": {
        "region_name": "us-east-2",
        "config": {"use_fips_endpoint": True, "use_dualstack_endpoint": True},
    },
    "accelerate": {"config": {"s3": {"use_accelerate_endpoint": True}}},
    "access point": {"bucket_name": ACCESS_POINT},
    "access point, dualstack": {
        "bucket_name": ACCESS_POINT,
        "config": {"use_dualstack_endpoint": True},
    },
    "endpoint": {"endpoint_url": "http://s3.local:9000"},
    "endpoint with a path": {"endpoint_url": "http://s3.local:9000/storage/v1/s3"},
    "endpoint with a path and a slash": {"endpoint_url": "http://s3.local/storage/"},
    "endpoint, virtual style": {
        "endpoint_url": "http://s3.local:9000",
        "config": {"s3": {"addressing_style": "virtual"}},
    },
    "endpoint of the environment": {"AWS_ENDPOINT_URL_S3": "http://s3.local:9000/storage/v1/s3"},
    "endpoint of all services": {"AWS_ENDPOINT_URL": "http://aws.local:4566"},
    "dualstack of the environment": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "FIPS of the environment": {"AWS_USE_FIPS_ENDPOINT": "true", "region_name": "us-west-1"},
    "legacy us-east-1": {
        "region_name": "us-east-1",
        "config": {"s3": {"us_east_1_regional_endpoint": "legacy"}},
    },
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_write_goes_where_boto3_would_send_it(env, configuration):
    options = {name: value for name, value in configuration.items() if not name.startswith("AWS_")}
    for name in configuration.keys() - options.keys():
        env.setenv(name, configuration[name])
    with Proxy() as proxy:
        env.setenv("http_proxy", proxy.url)
        env.setenv("HTTP_PROXY", proxy.url)
        made = make(use_ssl=False, **options)
        _save(made)
        boto3.Session().client(
            "s3",
            region_name=made.region_name,
            endpoint_url=made.endpoint_url,
            use_ssl=False,
            config=made.client_config,
        ).put_object(Bucket=made.bucket_name, Key=KEY, Body=b"{}")
        ours, boto3s = proxy.requests
    assert _host(ours) == _host(boto3s)
    assert _scope(ours) == _scope(boto3s)


def test_a_path_of_the_endpoint_is_kept_for_writes_and_links(env):
    with S3(prefix="/storage/v1/s3") as stand:
        env.setenv("AWS_ENDPOINT_URL_S3", f"{stand.url}/storage/v1/s3")
        made = make()
        _save(made)
        assert list(stand.objects) == [f"/lake/{KEY}"]
        assert made.url(KEY).startswith(f"{stand.url}/storage/v1/s3/lake/{KEY}?")


def test_every_write_has_a_checksum_that_object_lock_accepts(env):
    with S3() as stand:
        stand.locked = True
        _save(make(endpoint_url=stand.url), b"body")
        assert list(stand.objects.values()) == [b"body"]
        assert "x-amz-checksum-sha256" in stand.requests[0].headers


@pytest.fixture
def certificates(tmp_path):
    return make_certificates(tmp_path)


@pytest.mark.parametrize("way", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "file", "option"])
def test_a_private_authority_is_trusted_wherever_boto3_finds_it(env, certificates, way, tmp_path):
    bundle, server = certificates
    with S3(certificate=server) as stand:
        options = {}
        if way == "file":
            env.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            (tmp_path / "config").write_text(f"[default]\nca_bundle = {bundle}\n")
        elif way == "option":
            options["verify"] = str(bundle)
        else:
            env.setenv(way, str(bundle))
        _save(make(endpoint_url=stand.url, **options))
        assert len(stand.objects) == 1


def test_verification_can_be_switched_off_as_in_boto3(env, certificates):
    with S3(certificate=certificates[1]) as stand:
        _save(make(endpoint_url=stand.url, verify=False))
        assert len(stand.objects) == 1


def test_a_bundle_that_cannot_be_read_is_named(env):
    env.setenv("AWS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(Exception, match=r"/no/such/bundle\.pem"):
        _save(make(endpoint_url="https://127.0.0.1:1"))


def test_each_kind_of_failure_without_an_answer_is_named(env, certificates):
    with S3() as stand, S3(certificate=certificates[1]) as tls:
        stand.answers = [s3.PERMANENT_REDIRECT, Answer(301), Answer(307), Answer(hangs=True)]
        kinds = [_kind(make(endpoint_url=stand.url)) for _ in range(4)]
        kinds += [
            _kind(make(endpoint_url=tls.url)),
            _kind(make(endpoint_url="http://127.0.0.1:1")),
            _kind(make(endpoint_url="http://no-such-host.invalid")),
            _kind(make(endpoint_url=tls.url.replace("https", "http"))),
        ]
    assert kinds == [
        *["storage_wrong_region"] * 3,
        "storage_timed_out",
        "storage_certificate",
        "storage_connection_refused",
        "storage_dns",
        "storage_connection_lost",
    ]


def _kind(made):
    with pytest.raises(StorageUnreachable) as caught:
        _save(made)
    assert "127.0.0.1" not in str(caught.value)
    return describe(caught.value)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (s3.error(400, "KMS.DisabledException"), "KMS.DisabledException"),
        (s3.error(400, "RequestTimeTooSkewed"), "RequestTimeTooSkewed"),
        (s3.error(403, "AccessDenied"), "AccessDenied"),
        (s3.error(507, "QuotaExceeded"), "QuotaExceeded"),
        (s3.error(429, "TooManyRequests"), "TooManyRequests"),
        (s3.HTML_OF_A_PROXY, "403"),
        (Answer(409), "409"),
        (Answer(401), "401"),
        (Answer(403, "<html><Code>Private.Words</Code></html>"), "403"),
        (Answer(400, "<Error><Code>Private Words!</Code></Error>"), "400"),
    ],
    ids=repr,
)
def test_codes_are_read_whole_and_nothing_else_is(env, answer, code):
    with S3() as stand:
        stand.always = answer
        with pytest.raises(ClientError) as caught:
            _save(make(endpoint_url=stand.url))
    assert caught.value.response["Error"]["Code"] == code
    assert "rivate words" not in str(caught.value)


def test_a_variable_that_boto3_does_not_know_changes_nothing(env):
    with S3() as stand:
        for name in sorted(storage.UNDOCUMENTED_VARIABLES):
            env.setenv(name, "true")
        env.setenv("AWS_PROXY_URL", "http://127.0.0.1:1")
        env.setenv("AWS_SERVER_SIDE_ENCRYPTION", "AES256")
        env.setenv("AWS_TIMEOUT", "1ms")
        _save(make(endpoint_url=stand.url), b"body")
        (request,) = stand.requests
    assert request.headers.keys() == {
        *("host", "accept", "user-agent", "content-length", "content-type", "authorization"),
        *("x-amz-date", "x-amz-content-sha256", "x-amz-checksum-sha256"),
    }
    assert request.headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"


#: Variables that boto3 documents. What object_store would do with them is overridden.
BOTO3S = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"),
    *("AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ROLE_ARN"),
    *("AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
}


def test_every_variable_that_obstore_documents_is_decided_about():
    stubs = Path(obstore.store.__file__).parent / "_store"
    named = set(re.findall(r"`(AWS_[A-Z0-9_]+)`", (stubs / "_aws.pyi").read_text()))
    options = re.findall(r"^    ([a-z0-9_]+):", (stubs / "_client.pyi").read_text(), re.MULTILINE)
    named |= {f"AWS_{option.upper()}" for option in options}
    assert len(named) > 40
    assert named - BOTO3S <= storage.UNDOCUMENTED_VARIABLES


@pytest.fixture
def sts(env, tmp_path):
    env.delenv("AWS_ACCESS_KEY_ID")
    env.delenv("AWS_SECRET_ACCESS_KEY")
    env.setattr(credentials, "PAUSE_SECONDS_MAX", 0.05)
    with Sts() as stand:
        for name, value in stand.environment(tmp_path).items():
            env.setenv(name, value)
        yield stand


@pytest.mark.slow(reason="lets credentials expire")
def test_credentials_that_live_for_seconds_are_never_used_after_their_end(sts):
    sts.lifetime = 4
    with S3(credentials=lambda: sts.issued) as stand:
        made = make(endpoint_url=stand.url)
        until = time.monotonic() + 12
        while time.monotonic() < until:
            _save(made)
            time.sleep(0.05)
        assert stand.refused_keys == 0
        assert len(sts.issued) >= 3


def test_credentials_that_s3_refuses_are_asked_for_anew(sts, monkeypatch):
    monkeypatch.setattr(credentials, "DISTRUST_SECONDS", 0)
    with S3(credentials=lambda: sts.issued) as stand:
        made = make(endpoint_url=stand.url)
        _save(made)
        for key in sts.issued:  # revoked long before their end
            sts.issued[key] = 1.0
        wait_for(lambda: _is_stored(made), "other credentials", 30)
        assert len(sts.issued) == 2


def _is_stored(made):
    try:
        return bool(_save(made))
    except (ClientError, CredentialsUnavailable):
        return False


def test_without_credentials_a_write_says_so_and_the_next_one_may_succeed(sts):
    sts.state = "down"
    with S3(credentials=lambda: sts.issued) as stand:
        made = make(endpoint_url=stand.url)
        with pytest.raises(BotoCoreError) as caught:
            _save(made)
        assert describe(caught.value).startswith("no_credentials_")
        assert stand.requests == []
        sts.state = "ok"
        wait_for(lambda: _is_stored(made), "credentials", 30)


def test_a_write_does_not_ask_for_credentials_each_time(sts):
    with S3() as stand:
        made = make(endpoint_url=stand.url)
        for _ in range(30):
            _save(made)
        assert len(stand.requests) == 30
    assert len(sts.requests) == 1
