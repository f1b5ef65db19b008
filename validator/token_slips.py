"""Recognises a configured token that is a slip: something else that was saved in its place.

A slip that is taken as a token locks every client out, and may be easy to guess. The texts say what
it looks like and what to write instead; they never quote it.
"""

import base64
import binascii
import json
import re
from typing import Final

#: A bearer token as RFC 6750, section 2.1, has it. No JSON, pair, list, variable or URL looks so.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_WRAPPINGS: Final = ('""', "''", "``", "[]", "{}", "<>", "()", "%%")
#: Of lower-case letters alone: what `openssl rand -base64` makes has slashes, too.
_PATH = re.compile(r"[.~]{0,2}(?:/[a-z0-9_.-]+)+|.*\.(?:json|ya?ml|txt|env|tfvars|ini|toml)")
#: A token has as many different characters at least: fewer are a key that was held down.
_DISTINCT: Final = 4
_NAMED: Final = 'write {"client": ["token"]}'
#: What people write where a token is to come, compared with a token's letters in lower case.
_PLACEHOLDER = re.compile(
    r".*(?:change|replace|update)(?:me|it|this|with|later|before|after).*"
    r"|.*(?:place_?holder|fillmein|fixmenow|notasecret).*"
    r"|.*(?:your|insert|enter|paste|put|add)(?:my|your|the|an?|own|new|real)*"
    r"(?:api|access|auth|bearer|client|secret)*(?:tokens?|apikey|secrets?|password|value).*"
    r"|.*tobe(?:defined|determined|done|set|filled|announced)"
    r"|.*(?:undefined|redacted|notset|password|passwd|setme|fillme|editme)"
    r"|(?:todo|tbd|tba|fixme|none|null|nil|nan|unset|empty|example|sample|dummy|fake|string|value"
    r"|secret|tokens?|api|access|auth|bearer|key|abc|abcdefgh|qwerty|qwertz|asdf|foo|bar|baz|x+)+"
)


def slip_in(token: str) -> str | None:
    """Return what `token` looks like instead of a token, or None. For tokens of any form."""
    if token[:1] + token[-1:] in _WRAPPINGS or token.startswith("$"):
        return "is in quotes or brackets, or is the name of a variable"
    letters = re.sub("[^a-z]", "", token.lower())
    if _is_monotonous(token) or (letters and _PLACEHOLDER.fullmatch(letters)):
        return "is a placeholder, or as easy to guess as one"
    return None


def _is_monotonous(token: str) -> bool:
    """Whether it has few different characters, or one of them fills half of it."""
    most = max(token.count(each) for each in set(token))
    return len(set(token)) < _DISTINCT or 2 * most >= len(token)


def slip_in_bare(token: str) -> str | None:
    """Return what `token` looks like instead of a bare one, or None.

    Bare, a token has what a bearer token consists of; in JSON, any printable characters.
    """
    if not _BEARER.fullmatch(token):
        return f"has characters other than letters, digits and -._~+/: {_NAMED}"
    if _is_json(token) or _is_encoded_json(token):
        return f"is JSON of another form, or JSON in base64: {_NAMED}"
    if _PATH.fullmatch(token):
        return "is a path, not what is stored there"
    return slip_in(token)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_encoded_json(token: str) -> bool:
    """Whether it is base64 of an object, a list or a text in JSON."""
    try:
        decoded = base64.b64decode(token.rstrip("=") + "==", altchars=b"-_")
        text = decoded.decode().strip()
    except (binascii.Error, ValueError):
        return False
    return text[:1] in {"{", "[", '"'} and _is_json(text)
