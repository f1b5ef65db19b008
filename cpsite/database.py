"""The connection to the database, where it must not be held while something else is waited for."""

from django.db import close_old_connections, connection


def release_connection() -> None:
    """Give this thread's connection back to the pool, if there is one and no transaction is open.

    The next query takes another one. Without a pool the connection stays open for its time
    (CONN_MAX_AGE).
    """
    if not connection.in_atomic_block:
        close_old_connections()
