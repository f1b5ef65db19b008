"""Heads of requests, parsed as the worker parses them."""

from types import SimpleNamespace

import pytest
from django.conf import settings
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, ParseException
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create
from hypothesis import example, given
from hypothesis import strategies as st

from cpsite.web import bodies, request_head
from cpsite.web.request_head import HeaderRepeated, HostUnreadable, Request
from tests.cpsite.web import ours
from validator.exceptions import IdempotencyKeyInvalid
from validator.idempotency import read_key


def parse(*lines, first="POST / HTTP/1.1", host=("Host: x",), body=b""):
    sent = "\r\n".join([first, *host, *lines, "", ""]).encode("latin-1") + body
    # In pieces, as a socket gives them: the last one of the head may have some of the body.
    pieces = [sent[start : start + 8192] for start in range(0, len(sent), 8192)]
    return Request(ours.config(), IterUnreader(pieces), ("127.0.0.1", 1))


def environ(request):
    sock = SimpleNamespace(send=None)
    return create(request, sock, ("127.0.0.1", 1), ("127.0.0.1", 2), ours.config())[1]


# --- How often a header may occur ---------------------------------------------------------------

#: Every header that the code reads, and those that RFC 9110 and its neighbours define for requests.
#: `lists` may be repeated; what is in neither is refused with two of it.
LISTS = {
    *("Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Cache-Control"),
    *("Connection", "Content-Encoding", "Content-Language", "Forwarded", "If-Match"),
    *("If-None-Match", "Pragma", "Prefer", "TE", "Trailer", "Upgrade", "Via", "X-Forwarded-For"),
    *("X-Unknown", "X-Request-ID", "Idempotency-Key", "Traceparent", "X-Amzn-Trace-Id"),
}
SINGLES = {
    *("Authorization", "Content-Length", "Content-Type", "Cookie", "Date", "From", "Host"),
    *("If-Modified-Since", "If-Range", "If-Unmodified-Since", "Max-Forwards", "Origin"),
    *("Proxy-Authorization", "Range", "Referer", "User-Agent", "X-CSRFToken"),
    *("X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"),
    *("Content-Location", "Content-Range"),
}
VALUES = {"Content-Length": "5", "Host": "x"}


def cased(name):
    return st.tuples(*(st.sampled_from([c.lower(), c.upper()]) for c in name)).map("".join)


def repeated(names):
    """Two lines or more of one header, in any case, anywhere among others."""
    others = st.lists(st.sampled_from(["X-Other: 1", "Accept: */*", "Via: 1.1 x"]), max_size=5)

    def lines(name):
        value = VALUES.get(name, "1")
        line = cased(name).map(lambda spelled: f"{spelled}: {value}")
        return st.tuples(st.lists(line, min_size=2, max_size=4), others).flatmap(
            lambda found: st.permutations([*found[0], *found[1]])
        )

    return st.sampled_from(sorted(names)).flatmap(
        lambda name: st.tuples(st.just(name), lines(name))
    )


@given(repeated(SINGLES))
def test_a_header_with_one_value_may_not_occur_twice(case):
    name, lines = case
    with pytest.raises(ParseException):
        parse(*lines, host=() if name == "Host" else ("Host: x",))


@given(repeated(LISTS))
def test_lists_may_occur_twice_and_are_joined(case):
    name, lines = case
    values = [line for line in lines if line.lower().startswith(f"{name.lower()}:")]
    joined = environ(parse(*lines))[f"HTTP_{name.upper().replace('-', '_')}"]
    assert joined.count(",") >= len(values) - 1


def test_every_header_that_we_refuse_twice_is_in_the_table():
    assert request_head.SINGLE | {"HOST", "CONTENT-TYPE", "CONTENT-LENGTH"} == {
        name.upper() for name in SINGLES
    }


def test_the_same_header_in_two_requests_of_a_connection_is_not_repeated():
    assert parse("Authorization: Bearer a")
    assert parse("Authorization: Bearer a")


def test_a_repeated_header_is_named():
    with pytest.raises(HeaderRepeated) as caught:
        parse("authorization: Bearer a", "Authorization: Bearer b")
    assert caught.value.name == "AUTHORIZATION"


@given(st.lists(st.text("K,", max_size=3), min_size=2, max_size=4))
def test_two_keys_are_no_key(keys):
    joined = environ(parse(*[f"Idempotency-Key: {key}" for key in keys]))["HTTP_IDEMPOTENCY_KEY"]
    with pytest.raises(IdempotencyKeyInvalid):
        read_key(joined)


# --- Host ---------------------------------------------------------------------------------------

label = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
name = st.lists(label, min_size=1, max_size=5).map(".".join)
address = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map("[{}]".format)
port = st.just("") | st.integers(0, 65_535).map(":{}".format)


@given(name | address, port, st.sampled_from(["HTTP/1.1", "HTTP/1.0"]))
def test_a_host_is_a_name_or_an_address_and_a_port(host, port, version):
    assert parse(first=f"GET / {version}", host=[f"Host: {host}{port}"])


UNREADABLE = [
    *("", "a b", "a,b", "x, x", "a/b", "a@b", "http://a", "a?b", "a#b", "a\\b", "<a>", '"a"'),
    *("::1", "[::1", "::1]", "[::g]", "[]", "[127.0.0.1]", "[::1%25eth0]", "[fe80::1%eth0]"),
    *("a:b", "a:65536", "a:123456", "a:-1", "a:1:2", "[::1]:x", ":80", "a:" + "9" * 400),
    *("é", "xn--\xe9", "a\xa0b", "%61", "a|b", "{a}", "a;b", "a=b", "a'b", "a*b", "a!b"),
]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("value", UNREADABLE)
def test_another_host_is_unreadable(value, version):
    with pytest.raises(HostUnreadable):
        parse(first=f"GET / {version}", host=[f"Host: {value}"])


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")))
def test_what_is_no_host_by_its_characters_is_unreadable(value):
    value = value.strip()
    if set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:[]"):
        return
    with pytest.raises(HostUnreadable):
        parse(host=[f"Host: {value}"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("target", ["/", "/admin/", "http://x/"])
def test_http_1_1_needs_a_host_and_1_0_does_not(method, target):
    with pytest.raises(HostUnreadable):
        parse(first=f"{method} {target} HTTP/1.1", host=())
    assert parse(first=f"{method} {target} HTTP/1.0", host=())


# --- Content-Length -----------------------------------------------------------------------------

paths = st.sampled_from(["/", "/admin/login/", "/docs/", "/nope", "/messages/x/"])
zeros = st.integers(0, 300).map("0".__mul__)


@given(paths, st.integers(0, 10**6) | st.integers(0, 10**12) | st.integers(0, 10**4000), zeros)
def test_any_content_length_is_passed_on_as_far_as_it_matters(path, length, zeros):
    request = parse(f"Content-Length: {zeros}{length}", first=f"POST {path} HTTP/1.1")
    longest = bodies.longest(path)
    passed_on = environ(request)["CONTENT_LENGTH"]
    assert int(passed_on) == min(length, longest + 1)
    if length <= longest:
        assert request.readable_bytes == length
        assert request.body.reader.length == length
    else:  # framing keeps the real length, as far as the connection lasts
        assert request.readable_bytes == 0
        assert request.body.reader.length > longest


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.0", "1e3", "0x10", "1,1", "1 1", "²", "٣", "a"]
)
def test_a_content_length_that_is_no_number_is_refused(value):
    line = f"Content-Length: {value}".encode().decode("latin-1")
    with pytest.raises(InvalidHeader):
        parse(line)


@pytest.mark.parametrize("target", ["/", "http://x", "http://x/", "http://x?a=b"])
def test_a_message_may_be_as_long_under_each_spelling_of_its_path(target):
    length = settings.MAX_BODY_BYTES
    request = parse(f"Content-Length: {length}", first=f"POST {target} HTTP/1.1")
    assert request.readable_bytes == length


def test_a_chunked_body_cannot_be_read():
    request = parse("Transfer-Encoding: chunked")
    assert request.readable_bytes == 0


# --- Sizes --------------------------------------------------------------------------------------


@given(st.integers(8_192, 16_384 - len("X: \r\n")))
def test_a_header_may_be_eight_kib_long_and_more(length):
    assert parse("X: " + "x" * length)


@given(st.integers(16_384 - len("X: \r\n") + 1, 40_000))
def test_a_header_may_not_be_longer_than_the_limit(length):
    with pytest.raises(LimitRequestHeaders):
        parse("X: " + "x" * length)


#: Lengths of four headers that, with their Host, are as long as all may be together.
LONGEST_HEADERS = [8_000, 8_000, 8_000, 32_768 - 24_000 - len("Host: x" + 4 * "\r\nX: ")]


@given(st.lists(st.integers(1, 16_000), min_size=1, max_size=63), st.integers(0, 20_000))
@example(LONGEST_HEADERS, 0)
@example(LONGEST_HEADERS, 20_000)
@example([*LONGEST_HEADERS[:3], LONGEST_HEADERS[3] + 1], 0)
def test_all_headers_together_are_bounded(lengths, body_bytes):
    lines = [f"X: {'x' * length}" for length in lengths]
    total = len("\r\n".join(["Host: x", *lines]))
    body = b"x" * body_bytes
    if total <= 32_768:
        assert parse(*lines, body=body)
    else:
        with pytest.raises(LimitRequestHeaders):
            parse(*lines, body=body)


# --- Headers and WSGI's variables ---------------------------------------------------------------

FOREIGN = [
    *("SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "REMOTE_USER", "SERVER_NAME", "QUERY_STRING"),
    *("REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_HOST", "HTTPS", "wsgi.url_scheme"),
    *("Script-Name", "Path-Info", "Remote-Addr", "Remote-User", "Request-Method", "Script_Name"),
    *("X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Ssl", "X-Forwarded-Prefix"),
    *("X-Script-Name", "Script-Url", "Redirect-Url", "SCRIPT_URL", "REDIRECT_URL", "Forwarded"),
    *("Front-End-Https", "X-Url-Scheme", "Proxy", "Upgrade", "X-HTTP-Method-Override"),
]


@pytest.mark.parametrize("value", ["/static", "https", "on", "ssl", "admin", "1"])
@pytest.mark.parametrize("name", FOREIGN)
def test_no_header_becomes_a_variable_of_wsgis(name, value):
    """From a peer on loopback, which gunicorn trusts by default."""
    plain = environ(parse(first="POST /static/admin/ HTTP/1.1"))
    given_ = environ(parse(f"{name}: {value}", first="POST /static/admin/ HTTP/1.1"))
    changed = {key for key in given_ if given_[key] != plain.get(key)}
    changed -= {"wsgi.input", "wsgi.errors", "gunicorn.socket", "wsgi.early_hints"}
    assert all(key.startswith("HTTP_") for key in changed)
    assert given_.get("HTTP_HOST") == "x"


def test_our_settings_are_those_that_gunicorn_runs_with():
    assert isinstance(ours.config(), Config)
    assert ours.config().forwarder_headers == []
