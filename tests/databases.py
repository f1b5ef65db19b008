"""Questions to a database that a service writes to, whichever of the two it is."""

import sqlite3
from contextlib import closing
from typing import Any

import psycopg


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return all rows of an answer. SQLite gives a UUID as 32 digits."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            return database.execute(query).fetchall()
    with psycopg.connect(url) as database:
        return database.execute(query).fetchall()
