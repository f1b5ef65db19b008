"""The stored messages as files that DuckDB reads: one for each contract and day.

The files exist in this process only: `messages://orders/day=2026-11-23/messages.ndjson`. DuckDB
opens those of the days that a query asks for, and only then are that day's objects listed and
read. Both layouts are read, and each message is in the file once.
"""

import gzip
import io
import json
import mmap
import re
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any, Final, NamedTuple, TypeVar

from fsspec.spec import AbstractFileSystem

from cpsite.devstack.contract_columns import Contract, moment, parse_line

#: Objects that are read at a time. Reading waits for the network.
READERS: Final = 16
#: Objects that are read before their turn, so that a slow one does not hold up the others.
_AHEAD: Final = 4 * READERS
_SINGLE: Final = ".json"
_BATCH: Final = ".ndjson.gz"
#: A day without objects: DuckDB makes no view of no file at all.
_NO_DAY: Final = date(1970, 1, 1)

#: Returns the content of the object with a key.
Read = Callable[[str], bytes]
Item = TypeVar("Item")
Result = TypeVar("Result")


class UnreadableObject(Exception):
    """An object is no batch, though its key says so. The text is what to show."""


class StoredMessages(AbstractFileSystem):
    """The messages in `bucket` below `prefix`, for `duckdb.register_filesystem`. Thread-safe.

    `s3` is a botocore client, and `read` returns the object of a key. DuckDB's error for an
    exception of ours is a traceback, so `failure` keeps the exception itself.
    """

    protocol = "messages"
    cachable = False

    def __init__(
        self, s3: Any, read: Read, bucket: str, prefix: str, contracts: Iterable[Contract]
    ) -> None:
        super().__init__()
        self.failure: Exception | None = None
        #: What was read so far, for people.
        self.objects = self.bytes = self.days = 0
        #: Lines that are no messages.
        self.foreign = 0
        self._s3 = s3
        self._read = read
        self._bucket = bucket
        self._prefix = prefix
        self._contracts = {contract.name: contract for contract in contracts}
        self._days: dict[str, list[date]] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(READERS)

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return the files of all days of the contract in `path`."""
        with self._kept_failure():
            name = path.removeprefix("messages://").partition("/")[0]
            days = self.stored_days(name) or [_NO_DAY]
            return [f"messages://{name}/day={day}/messages.ndjson" for day in days]

    def size(self, path: str) -> int:
        with self._kept_failure():
            return self._file(path).seek(0, io.SEEK_END)

    def open(self, path: str, mode: str = "rb", **_options: Any) -> Any:
        """Return the file. Several may be open at a time, each with a position of its own."""
        with self._kept_failure():
            file = self._file(path)
            if not file.seek(0, io.SEEK_END):
                return io.BytesIO()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def stored_days(self, contract: str) -> list[date]:
        """Return the days of which there are objects, in order. No object is listed for it.

        They are looked for once: DuckDB asks several times for each view.
        """
        if contract not in self._days:
            self._days[contract] = self._look_for_days(contract)
        return self._days[contract]

    def _look_for_days(self, contract: str) -> list[date]:
        directories = [self._prefix + self._contracts[contract].prefix]
        for digits in (4, 2, 2):
            directories = [
                found
                for directory in directories
                for found in self._directories(directory)
                if re.fullmatch(rf"[0-9]{{{digits}}}/", found.removeprefix(directory))
            ]
        return sorted(day for directory in directories if (day := _day(directory)))

    @contextmanager
    def _kept_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            self.failure = exc
            raise

    def _directories(self, directory: str) -> Iterator[str]:
        for page in self._pages(Prefix=directory, Delimiter="/"):
            for found in page.get("CommonPrefixes", []):
                yield found["Prefix"]

    def _pages(self, **options: Any) -> Any:
        return self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **options)

    def _file(self, path: str) -> IO[bytes]:
        with self._lock:
            if path not in self._files:
                self._files[path] = self._read_day(path)
            return self._files[path]

    def _read_day(self, path: str) -> IO[bytes]:
        """Read a day's objects into a file without a name, each message once."""
        name, day, _ = path.removeprefix("messages://").split("/")
        contract = self._contracts[name]
        directory = f"{self._prefix}{contract.prefix}{day.removeprefix('day=').replace('-', '/')}/"
        seen = set()
        file = TemporaryFile()  # noqa: SIM115 - open as long as the process
        for rows in self._in_parallel(lambda key: self._rows(key, contract), self._keys(directory)):
            for row in rows:
                if row is None:
                    self.foreign += 1
                elif row.message_id not in seen:
                    seen.add(row.message_id)
                    file.write(row.line)
        file.flush()
        self.days += day != f"day={_NO_DAY}"
        return file

    def _keys(self, directory: str) -> Iterator[str]:
        for page in self._pages(Prefix=directory):
            for found in page.get("Contents", []):
                if found["Key"].endswith((_SINGLE, _BATCH)):
                    self.objects += 1
                    self.bytes += found["Size"]
                    yield found["Key"]

    def _rows(self, key: str, contract: Contract) -> list["_Row | None"]:
        """Return an object's messages; None for a line that is none."""
        content = self._read(key)
        if key.endswith(_BATCH):
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as exc:
                raise UnreadableObject(f"{key} is no gzip file: {exc}") from exc
        return [_row(line, contract) for line in content.splitlines()]

    def _in_parallel(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Yield the results of `work` in order, with at most _AHEAD of them in memory."""
        left = iter(items)
        under_way = deque(self._readers.submit(work, item) for item in islice(left, _AHEAD))
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(self._readers.submit(work, item) for item in islice(left, 1))


class _Row(NamedTuple):
    """A message, and its columns as a line of JSON."""

    message_id: str
    line: bytes


def _row(line: bytes, contract: Contract) -> _Row | None:
    try:
        message = parse_line(line)
        columns = {
            "message_id": message["message_id"],
            "accepted_at": moment(message["accepted_at"]),
            "client": message["client"],
            **contract.row(message["data"]),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    # Decimals and moments become texts, of which DuckDB reads every digit.
    text = json.dumps(columns, default=str, ensure_ascii=False, separators=(",", ":"))
    return _Row(columns["message_id"], text.encode() + b"\n")


def _day(directory: str) -> date | None:
    """Return the day of `messages/2026/11/23/`."""
    try:
        return date(*map(int, directory.split("/")[-4:-1]))
    except ValueError:
        return None
