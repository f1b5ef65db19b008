"""Whether S3 holds what was on the queue: every message, with the right bytes."""

import gzip
import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from bench.emulators import S3
from bench.errors import CannotMeasure

#: Suffix of compressed objects that hold many messages, one on each line.
BATCH_SUFFIX: Final = ".ndjson.gz"
#: Number of one-message objects whose bytes are checked. Of all others only the key is checked.
_SAMPLE: Final = 25


def check(s3: S3, prefix: str, manifest: Path, *, in_batches: bool) -> None:
    """Compare the objects under `prefix` with a backlog's manifest.

    Raises CannotMeasure if an object is missing, foreign or different.
    """
    expected = dict(_expected(manifest))
    keys = list(_keys(s3, prefix))
    wrong = [key for key in keys if key.endswith(BATCH_SUFFIX) != in_batches]
    if wrong:
        raise CannotMeasure(f"{len(wrong)} objects have another layout, such as {wrong[0]}.")
    if in_batches:
        _compare(sorted(_lines(s3, prefix, keys)), sorted(expected.values()), "messages")
        return
    _compare(sorted(keys), sorted(expected), "keys")
    for key in random.Random(0).sample(sorted(keys), min(_SAMPLE, len(keys))):  # noqa: S311
        if sha256(_read(s3, prefix + key)).hexdigest() != expected[key]:
            raise CannotMeasure(f"The object {key} has other bytes than its message.")


def _compare(found: list[str], expected: list[str], what: str) -> None:
    if found != expected:
        missing, foreign = set(expected) - set(found), set(found) - set(expected)
        raise CannotMeasure(
            f"Stored are {len(found)} {what} of {len(expected)}; "
            f"{len(missing)} are missing and {len(foreign)} foreign."
        )


def _expected(manifest: Path) -> Iterator[tuple[str, str]]:
    with manifest.open() as lines:
        for line in lines:
            entry = json.loads(line)
            yield entry["key"], entry["sha256"]


def _keys(s3: S3, prefix: str) -> Iterator[str]:
    """Return the keys under `prefix`, without the prefix."""
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix)
    for page in pages:
        for item in page.get("Contents", []):
            yield item["Key"].removeprefix(prefix)


def _lines(s3: S3, prefix: str, keys: list[str]) -> Iterator[str]:
    """Return the SHA-256 of each message in objects that hold many."""
    for key in keys:
        for line in gzip.decompress(_read(s3, prefix + key)).removesuffix(b"\n").split(b"\n"):
            yield sha256(line).hexdigest()


def _read(s3: S3, key: str) -> bytes:
    body: bytes = s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    return body
