"""`make query`: ask the stored messages in SQL. DuckDB reads the bucket's objects as they are.

It runs in an environment of its own (requirements/query.in) with `S3_BUCKET`, `S3_PREFIX`,
`AWS_REGION` and credentials as the services have them, so it can ask any bucket. Each contract is a
view with its name, and `messages` is the default contract's. A query reads only the days that it
names.
"""

import argparse
import csv
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import botocore.session
import duckdb
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store

from cpsite import cli
from cpsite.devstack import contract_columns
from cpsite.devstack.contract_columns import Contract, UnknownContracts
from cpsite.devstack.stored_messages import Read, StoredMessages

if TYPE_CHECKING:
    from obstore.store import S3Credential

#: Messages that are shown where no SQL is given.
NEWEST: Final = 20
#: Most rows, and most characters of a value, in the printed table.
MOST_ROWS: Final = 1_000
WIDEST: Final = 80
#: The view of the default contract, whatever its name.
MESSAGES: Final = "messages"
#: Seconds after which a query is given up. Reading an object takes a millisecond or two.
LONGEST: Final = 300


class CannotAnswer(Exception):
    """There is no answer. The text is what to show."""


class Lake:
    """A bucket's messages as views in DuckDB.

    Everything raises CannotAnswer: the bucket cannot be read, or the SQL is wrong.
    """

    def __init__(
        self, s3: Any, read: Read, bucket: str, prefix: str, contracts: Sequence[Contract]
    ) -> None:
        self.stored = StoredMessages(s3, read, bucket, prefix, contracts)
        self.views = {contract.name: contract for contract in contracts}
        if self.views.setdefault(MESSAGES, contracts[0]) is not contracts[0]:
            raise CannotAnswer(f"{MESSAGES!r} is the view of the default contract, not a name.")
        self._duckdb = duckdb.connect(
            # It fetches nothing from the network, and leaves no files behind.
            config={"autoinstall_known_extensions": "false", "temp_directory": ""}
        )
        self._duckdb.register_filesystem(self.stored)
        with self._clear_errors():
            self._duckdb.execute("set TimeZone = 'UTC'")
            for name, contract in self.views.items():
                self._duckdb.execute(_view(name, contract))

    def ask(self, sql: str, most: int | None = None) -> "Answer":
        """Return the rows of the last statement, `most` of them at most."""
        with self._clear_errors():
            found = self._duckdb.sql(sql)
            if found is None:
                return Answer([], [], [])
            rows = found if most is None else found.limit(most)
            # As texts: Python has no infinite dates, and DuckDB writes nested values.
            texts = rows.project("columns(*)::varchar").fetchall() if found.columns else []
            return Answer(found.columns, [str(type_) for type_ in found.types], texts)

    def newest(self, most: int = NEWEST) -> "Answer":
        """Return the default contract's newest messages. Only the days that it takes are read."""
        with self._clear_errors():
            days = self.stored.stored_days(self.views[MESSAGES].name)
        answer = Answer([], [], [])
        for day in reversed(days):
            answer = self.ask(
                f"from {MESSAGES} where day >= '{day}' order by accepted_at desc limit {most}"
            )
            if len(answer.rows) == most:
                break
        return answer

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, BotoCoreError, ClientError) as exc:
            cause = self.stored.failure or exc
            raise CannotAnswer(str(cause)) from exc


class Answer(NamedTuple):
    """Rows, with the names and DuckDB's types of their columns."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[str | None, ...]]


def _view(name: str, contract: Contract) -> str:
    columns = [f'"{column.name}"' for column in contract.columns]
    types = {"message_id": "VARCHAR", "accepted_at": "TIMESTAMPTZ", "client": "VARCHAR"}
    types |= {column.name: column.type for column in contract.columns}
    declared = ", ".join(f"\"{column}\": '{type_}'" for column, type_ in types.items())
    return f"""
        create view "{name}" as
        select {", ".join(["message_id", "accepted_at", "client", *columns, "day"])}
        from read_ndjson(
            'messages://{contract.name}/day=*/messages.ndjson',
            hive_partitioning = true, hive_types = {{day: DATE}}, columns = {{{declared}}}
        )
    """  # noqa: S608 - names of contracts and fields are words


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make query",
        description="Ask the stored messages in SQL (DuckDB's). Without SQL: show the newest ones.",
    )
    parser.add_argument("sql", nargs="?", default="", metavar="SQL")
    parser.add_argument("--csv", action="store_true", help="print all rows, and whole, as CSV")
    parser.add_argument(
        "--seconds",
        type=cli.positive,
        default=LONGEST,
        help="give up after that long (default: %(default)s)",
    )
    parser.add_argument(
        "--contracts",
        type=Path,
        default=contract_columns.DESCRIPTION,
        help="the description of the contracts (default: what `make schema` has written)",
    )
    options = parser.parse_args(arguments)
    _end_after(options.seconds)
    try:
        lake = open_lake(os.environ, contract_columns.read_contracts(options.contracts))
        if options.sql.strip():
            answer = lake.ask(options.sql, None if options.csv else MOST_ROWS + 1)
        else:
            answer = lake.newest()
    except (CannotAnswer, UnknownContracts) as exc:
        print(f"cpsite: {exc}", file=sys.stderr)
        return 1
    # A reader that has seen enough ends this process, without an exception.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    (print_csv if options.csv else print_table)(answer)
    print_summary(lake, answer, asked=bool(options.sql.strip()))
    return 0


def open_lake(environment: Mapping[str, str], contracts: Sequence[Contract]) -> Lake:
    """Open the bucket that the environment names. Raises CannotAnswer."""
    bucket = environment.get("S3_BUCKET")
    if not bucket:
        raise CannotAnswer("S3_BUCKET is not set. `make query` sets it to that of `make run`.")
    region = environment.get("S3_REGION") or environment.get("AWS_REGION")
    config = Config(connect_timeout=5, read_timeout=30)
    session = botocore.session.Session()
    try:
        s3 = session.create_client("s3", region_name=region, config=config)
    except (BotoCoreError, ValueError) as exc:  # ValueError: an endpoint that is no URL
        raise CannotAnswer(str(exc)) from exc
    read = reader(session, s3, bucket)
    return Lake(s3, read, bucket, environment.get("S3_PREFIX", "messages/"), contracts)


def reader(session: Any, s3: Any, bucket: str) -> Read:
    """Return what reads objects as `s3` would, by obstore: a fifth of its CPU (docs/adr/0008)."""

    def credential() -> "S3Credential":
        found = session.get_credentials().get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": None,
        }

    endpoint = s3.meta.endpoint_url
    store = S3Store(
        bucket,
        region=s3.meta.region_name,
        config={"aws_endpoint_url_s3": endpoint},
        virtual_hosted_style_request=False,
        credential_provider=credential,
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
    )
    return lambda key: store.get(key).bytes().to_bytes()


def _end_after(seconds: int) -> None:
    """End the process then, and at Ctrl-C: it has nothing to undo, and its threads may wait."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def give_up() -> None:
        print(
            f"cpsite: no answer within {seconds} s. Name fewer days (where day = '2026-11-23'), or "
            f"allow more time (QUERY='--seconds {2 * seconds}').",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def print_table(answer: Answer) -> None:
    if not answer.columns:
        return
    numbers = {
        column
        for column, type_ in zip(answer.columns, answer.types, strict=True)
        if type_.endswith(("INT", "INTEGER", "DOUBLE", "FLOAT")) or type_.startswith("DECIMAL")
    }
    rows = [list(map(_shown, row)) for row in answer.rows[:MOST_ROWS]]
    for line in cli.table(answer.columns, rows, numbers=numbers):
        print(line)


def print_csv(answer: Answer) -> None:
    """Print all rows with their header. A NULL is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([answer.columns, *answer.rows])


def print_summary(lake: Lake, answer: Answer, *, asked: bool) -> None:
    """Say on standard error what was read and, if nothing was asked, what there is to ask."""
    stored = lake.stored
    if not answer.rows and not asked:
        print("There are no messages yet: `make send` sends one.", file=sys.stderr)
        return
    shown = f"{len(answer.rows):,}" if len(answer.rows) <= MOST_ROWS else f"first {MOST_ROWS:,}"
    foreign = f" Lines that are no messages: {stored.foreign:,}." if stored.foreign else ""
    print(
        f"Rows: {shown}. Objects read: {stored.objects:,} ({stored.bytes:,} bytes). "
        f"Days: {stored.days}.{foreign}",
        file=sys.stderr,
    )
    if not asked:
        views = ", ".join(sorted(lake.views))
        print(f"Views: {views}. `make query SQL='describe messages'`", file=sys.stderr)


def _shown(value: str | None) -> str:
    """Return a value for a terminal: in one line, without control characters, not too long."""
    if value is None:
        return "NULL"
    text = value if len(value) <= WIDEST else f"{value[: WIDEST - 1]}…"
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


if __name__ == "__main__":
    sys.exit(main())
