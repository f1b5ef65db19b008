import json

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from cpsite.web.client_address import source_ip
from tests import factories


def post(client, token=factories.ALICE, **extra):
    body = json.dumps(factories.envelope(token=token))
    return client.post("/", body, content_type="application/json", **extra)


def test_a_client_over_its_rate_gets_429_with_retry_after(client, queue, settings, audit):
    settings.THROTTLE_CLIENT_RATE = "2/min"
    assert [post(client).status_code for _ in range(3)] == [202, 202, 429]
    answer = post(client)
    assert answer.json()["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 60
    assert [event.kind for event in audit()] == ["accepted", "accepted"]


def test_another_client_is_not_affected(client, queue, settings):
    settings.THROTTLE_CLIENT_RATE = "1/min"
    assert post(client).status_code == 202
    assert post(client).status_code == 429
    assert post(client, factories.BOB).status_code == 202


def test_both_tokens_of_a_client_share_its_rate(client, queue, settings):
    settings.THROTTLE_CLIENT_RATE = "1/min"
    assert post(client).status_code == 202
    assert post(client, factories.ALICE_NEXT).status_code == 429


def _refused_requests():
    """Return what a token's owner may send that is refused, by how it sends the token."""
    good = f"Bearer {factories.ALICE}"
    return {
        "a wrong body token": ({"authorization": good}, json.dumps(factories.envelope(token="x"))),
        "another client's token": (
            {"authorization": good},
            json.dumps(factories.envelope(token=factories.BOB)),
        ),
        "malformed JSON": ({"authorization": good}, "{"),
        "invalid UTF-8": ({"authorization": good}, b"\xff"),
        "a list": ({"authorization": good}, "[]"),
        "a number": ({"authorization": good}, "7"),
        "an empty object": ({"authorization": good}, "{}"),
        "no data": ({}, json.dumps({"token": factories.ALICE})),
        "a broken contract": ({}, json.dumps(factories.envelope(data={"field1": 1}))),
        "a bad key": ({"idempotency-key": "a b"}, json.dumps(factories.envelope())),
    }


@pytest.mark.parametrize("accept", ["*/*", "application/json;q=0.9"])  # without DRF, and with it
@pytest.mark.parametrize("kind", _refused_requests())
def test_refused_requests_of_a_client_count_once_each(client, queue, settings, kind, accept):
    settings.THROTTLE_CLIENT_RATE = "3/min"
    headers, body = _refused_requests()[kind]
    headers = headers | {"accept": accept}
    answers = [
        client.post("/", body, content_type="application/json", headers=headers) for _ in range(5)
    ]
    assert [answer.status_code == 429 for answer in answers] == [False] * 3 + [True] * 2
    assert "client" in answers[-1].json()["detail"]
    assert post(client, factories.BOB).status_code == 202


@pytest.mark.parametrize("accept", ["*/*", "text/csv"])
def test_what_the_head_rules_out_counts_for_the_client_of_its_token_alone(
    client, queue, settings, audit, accept
):
    """Its address is not limited, and others behind it are not either."""
    settings.THROTTLE_CLIENT_RATE, settings.THROTTLE_REFUSED_RATE = "2/min", "1/min"
    headers = {"authorization": f"Bearer {factories.ALICE}", "accept": accept}
    answers = [client.post("/", "x", content_type="text/plain", headers=headers) for _ in range(3)]
    refused = 415 if accept == "*/*" else 406
    assert [answer.status_code for answer in answers] == [refused, refused, 429]
    assert "client" in answers[-1].json()["detail"]
    assert [event.client for event in audit()] == ["alice", "alice"]
    assert post(client, "wrong-token").status_code == 401


def test_accepted_requests_of_a_client_count_once_each_with_two_tokens(client, queue, settings):
    settings.THROTTLE_CLIENT_RATE = "3/min"
    headers = {"authorization": f"Bearer {factories.ALICE_NEXT}"}
    statuses = [post(client, headers=headers).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 429]


def test_a_throttled_address_is_told_what_to_check(client, queue, settings):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    post(client, "wrong-token")
    answer = post(client, "wrong-token")
    assert answer.status_code == 429
    assert "Too many requests from this address were refused" in answer.json()["detail"]
    assert "check the token" in answer.json()["detail"]


def test_without_a_rate_there_is_no_limit(client, queue, settings):
    settings.THROTTLE_CLIENT_RATE = None
    assert {post(client).status_code for _ in range(20)} == {202}


def test_an_address_that_guesses_tokens_gets_429_and_is_no_longer_audited(
    client, queue, settings, audit
):
    settings.THROTTLE_REFUSED_RATE = "3/min"
    statuses = [post(client, "wrong-token").status_code for _ in range(6)]
    assert statuses == [401, 401, 401, 429, 429, 429]
    assert len(audit()) == 3


def test_good_tokens_from_that_address_still_pass(client, queue, settings):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    for _ in range(3):
        post(client, "wrong-token")
    assert post(client).status_code == 202


def test_other_addresses_are_not_affected(client, queue, settings):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    for _ in range(2):
        post(client, "wrong-token", REMOTE_ADDR="192.0.2.1")
    assert post(client, "wrong-token", REMOTE_ADDR="192.0.2.2").status_code == 401


def test_malformed_bodies_count_as_refusals(client, queue, settings):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    answers = [client.post("/", "x", content_type="application/json") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 429]


def test_outages_do_not_count_as_refusals(client, queue, settings):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    queue.client.delete_queue(QueueUrl=queue.url)
    assert [post(client).status_code for _ in range(3)] == [503, 503, 503]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, None, "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%eth0", None),
        (1, "not an address", None),
        (1, "", None),
        (1, None, "192.0.2.1"),
    ],
)
def test_the_source_address_follows_the_trusted_proxies(proxies, forwarded, expected, settings):
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", headers=headers)
    assert source_ip(Request(request)) == expected


def test_an_ipv6_network_is_one_caller(client, queue, settings, audit):
    """One host may use any of 2 ** 64 addresses."""
    settings.THROTTLE_REFUSED_RATE = "3/min"
    statuses = [
        post(client, "no-such-token", REMOTE_ADDR=f"2001:db8:1:2::{number:x}").status_code
        for number in range(1, 8)
    ]
    assert statuses == [401] * 3 + [429] * 4
    assert post(client, "no-such-token", REMOTE_ADDR="2001:db8:1:3::1").status_code == 401
    assert len(audit()) == 4


def test_a_flood_is_not_logged(client, queue, settings, caplog):
    caplog.set_level("INFO")
    settings.THROTTLE_REFUSED_RATE = "2/min"
    for _ in range(10):
        post(client, "no-such-token")
    assert caplog.text.count("message_refused") == 2
