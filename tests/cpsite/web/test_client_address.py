"""An address has one spelling, however a listener or a proxy writes it."""

import json
from ipaddress import IPv4Address, IPv6Address

import pytest
from axes.models import AccessAttempt
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from cpsite.web import admin_login
from cpsite.web.client_address import neighbourhood, source_ip
from tests import factories

ports = st.none() | st.just("") | st.integers(0, 65_535)  # RFC 3986 allows an empty one
spaces = st.sampled_from(["", " ", "\t"])


def _seen(remote):
    """Return the address of a request without a proxy."""
    return source_ip(RequestFactory().get("/", REMOTE_ADDR=remote))


def _forwarded(entry, *before):
    """Return the address of a request whose proxy has written `entry`."""
    headers = {"X-Forwarded-For": ",".join([*before, entry])}
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", headers=headers)
    with override_settings(TRUSTED_PROXIES=1):
        return source_ip(request)


@st.composite
def of_ipv4(draw):
    """Return an IPv4 address, and one of its spellings."""
    address = draw(st.ip_addresses(v=4))
    inside = draw(st.sampled_from([None, "::ffff:", "64:ff9b::"]))
    if inside is None:
        return address, str(address)
    tail = draw(st.sampled_from([str(address), f"{int(address) >> 16:x}:{int(address) & 65535:x}"]))
    spelt = draw(st.sampled_from([str.lower, str.upper]))(inside + tail)
    whole = IPv6Address(spelt).exploded
    return address, draw(st.sampled_from([spelt, whole]))


@st.composite
def of_ipv6(draw):
    """Return an IPv6 address that holds no IPv4 address, and one of its spellings."""
    address = draw(
        st.ip_addresses(v=6, network="2000::/3") | st.ip_addresses(v=6, network="fc00::/7")
    )
    spelt = draw(st.sampled_from([str(address), address.exploded]))
    return address, draw(st.sampled_from([spelt, spelt.upper()]))


@st.composite
def entries(draw):
    """Return an address, and what a proxy may write for it."""
    address, text = draw(of_ipv4() | of_ipv6())
    port = draw(ports)
    if ":" in text and (port is not None or draw(st.booleans())):
        text = f"[{text}]"
    if port is not None:
        text = f"{text}:{port}"
    if draw(st.booleans()):
        text = f'"{text}"' if port is not None or text.startswith("[") else text
    return address, draw(spaces) + text + draw(spaces)


@given(of_ipv4() | of_ipv6())
def test_what_a_listener_sees_has_one_spelling(pair):
    address, text = pair
    assert _seen(text) == str(address)


@given(entry=entries(), before=st.lists(st.sampled_from(["198.51.100.1", "unknown", ""])))
def test_what_a_proxy_writes_has_one_spelling(entry, before):
    address, text = entry
    assert _forwarded(text, *before) == str(address)


@given(
    st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n,"), max_size=40)
    | st.lists(
        st.sampled_from([*"[]:.%\"' ", "::", "1", "255", "256", "ffff", "unknown", "_x", "99999"])
    ).map("".join)
)
def test_anything_else_is_an_address_or_none(text):
    found = _forwarded(text)
    if found is not None:
        parsed = IPv6Address(found) if ":" in found else IPv4Address(found)
        assert str(parsed) == found
        assert neighbourhood(found)


@pytest.mark.parametrize(
    "text",
    [
        *("", "unknown", "_hidden", "203.0.113.256", "203.0.113.7.5", ":443"),
        *("203.0.113.7:http", "203.0.113.7:123456", "[2001:db8::1", "2001:db8::1]", "[]", "[]:1"),
        *("fe80::1%eth0", "[fe80::1%eth0]:443", "010.0.0.1", "٢٠٣.0.113.7"),
    ],
)
def test_what_is_no_address(text):
    assert _forwarded(text) is None


def test_callers_of_a_dual_stack_listener_have_a_bucket_each(client, queue, settings, audit):
    settings.THROTTLE_REFUSED_RATE = "1/min"
    body = json.dumps(factories.envelope(token="wrong-token"))

    def post(remote):
        answer = client.post("/", body, content_type="application/json", REMOTE_ADDR=remote)
        return answer.status_code

    callers = ["::ffff:203.0.113.1", "::ffff:203.0.113.2", "203.0.113.1", "64:ff9b::203.0.113.2"]
    assert [post(caller) for caller in callers] == [401, 401, 429, 429]
    assert [event.source_ip for event in audit()] == ["203.0.113.1", "203.0.113.2"]


@pytest.mark.django_db
def test_a_stranger_on_a_dual_stack_listener_locks_out_only_its_own_address(client, settings):
    settings.AXES_FAILURE_LIMIT = 2
    guess = {"username": "operator", "password": "guess"}

    def log_in(remote):
        return client.post("/admin/login/", guess, REMOTE_ADDR=remote).status_code

    assert [log_in("::ffff:203.0.113.1") for _ in range(3)] == [200, 429, 429]
    assert log_in("203.0.113.1") == 429
    assert log_in("::ffff:203.0.113.2") == 200
    stored = set(AccessAttempt.objects.values_list("ip_address", flat=True))
    assert stored == {"203.0.113.1", "203.0.113.2"}
    request = RequestFactory().post("/admin/login/", REMOTE_ADDR="::ffff:203.0.113.1")
    assert admin_login.address(request) == source_ip(request) == "203.0.113.1"
