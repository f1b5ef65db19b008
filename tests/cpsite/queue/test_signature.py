"""Our signature is botocore's, for whatever there is to sign."""

import datetime as dt
from unittest import mock

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from cpsite.queue.signature import Signer

_printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
_hosts = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}(:[1-9][0-9]{3})?", fullmatch=True)
_credentials = st.builds(
    ReadOnlyCredentials, _printable, st.text(min_size=1), st.none() | _printable
)


def _by_botocore(headers, *, url, region, body, credentials, now):
    """Return the header with which botocore would sign the same request."""
    kept = {
        name: value
        for name, value in headers.items()
        if name not in {"host", "x-amz-date", "x-amz-security-token", "authorization"}
    }
    request = AWSRequest(method="POST", url=url, data=body, headers=kept)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, "sqs", region).add_auth(request)
    return request.headers["Authorization"]


@given(
    host=_hosts,
    region=st.from_regex(r"[a-z]{2}(-[a-z]{1,9}){1,3}-[1-9]", fullmatch=True),
    calls=st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z]{1,30}", fullmatch=True),
            st.binary(max_size=2_000),
            _credentials,
            st.datetimes(min_value=dt.datetime.fromisoformat("1000-01-01")),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_each_call_is_signed_as_botocore_signs_it(host, region, calls):
    """Several calls of one signer: it keeps the key of a secret and a day."""
    signer = Signer(host=host, region=region)
    for action, body, credentials, now in calls:
        moment = now.strftime(SIGV4_TIMESTAMP)
        headers = signer.headers(action, body, credentials, moment=moment)
        assert headers["authorization"] == _by_botocore(
            headers,
            url=f"https://{host}/",
            region=region,
            body=body,
            credentials=credentials,
            now=now,
        )
        assert headers.get("x-amz-security-token") == credentials.token


def test_the_example_that_was_computed_by_hand():
    """With openssl, step by step as AWS describes it, so that no code of either is trusted."""
    credentials = ReadOnlyCredentials(
        "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None
    )
    signer = Signer(host="sqs.us-east-1.amazonaws.com", region="us-east-1")
    headers = signer.headers(
        "SendMessage", b'{"MessageBody":"x"}', credentials, moment="20150830T123600Z"
    )
    assert headers["authorization"].endswith(
        "Signature=99121271043e274c58d99c286978eea9b8bec75e6794b08d419c080248cad004"
    )


def test_the_moment_is_now_unless_it_is_given():
    signer = Signer(host="h", region="r")
    headers = signer.headers("SendMessage", b"", ReadOnlyCredentials("a", "s", None))
    moment = dt.datetime.strptime(headers["x-amz-date"], SIGV4_TIMESTAMP).replace(tzinfo=dt.UTC)
    assert dt.datetime.now(dt.UTC) - moment < dt.timedelta(minutes=5)
