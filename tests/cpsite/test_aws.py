from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.httpsession import get_cert_path

from cpsite import aws


def test_a_client_is_for_our_region_and_endpoint(settings, monkeypatch):
    settings.AWS_REGION = "eu-central-1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    made = aws.client("sqs")
    assert made.meta.region_name == "eu-central-1"
    assert made.meta.endpoint_url == "http://127.0.0.1:4566"


def test_clients_read_their_models_once(monkeypatch):
    aws.preload("sqs")
    loader = aws._session()._session.get_component("data_loader")
    monkeypatch.setattr(loader.file_loader, "load_file", _fail)
    aws.client("sqs")


def _fail(*_args):
    raise AssertionError("it has been read before")


def test_preloading_asks_nobody_for_credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    aws._session.cache_clear()
    monkeypatch.setattr(aws._session()._session, "get_credentials", _fail)
    aws.preload("sqs", "ssm")
    aws._session.cache_clear()


def test_threads_may_make_clients_at_the_same_time():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: aws.client("sqs"), range(16)))
    assert len({id(client) for client in made}) == 16


@pytest.mark.parametrize("way", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle", "none"])
def test_authorities_are_found_where_boto3_looks_for_them(monkeypatch, tmp_path, way):
    config = tmp_path / "config"
    config.write_text("[default]\nca_bundle = /own.pem\n" if way == "ca_bundle" else "")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    # The machine's own.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    if way.isupper():
        monkeypatch.setenv(way, "/own.pem")
    aws._session.cache_clear()
    expected = "/own.pem" if way != "none" else get_cert_path(verify=True)
    assert aws.trusted_authorities() == expected
    aws._session.cache_clear()
