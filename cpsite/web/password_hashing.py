"""Hashes the passwords of the admin's users aside, so that other requests go on meanwhile.

A hash takes a few tenths of a second of CPU on purpose. In a gevent worker each request is a
greenlet, and while one computes, no other runs: a few logins would stall messages and health
checks. OpenSSL computes without Python's lock, so a thread of its own is enough.
"""

from functools import cache
from typing import Final

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from gevent import monkey
from gevent.threadpool import ThreadPool

from cpsite.database import release_connection

#: Hashes that a process computes at a time. They compete with its requests for the CPU.
HASHES: Final = 1


@cache
def _pool() -> ThreadPool:
    # Not the hub's own pool: host names are looked up there, and would wait for passwords.
    return ThreadPool(HASHES)


class PBKDF2AsidePasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher, but in a gevent process a thread computes, and others go on.

    Its hashes are Django's. Whatever sets or checks a password comes through `encode`.
    """

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        if not monkey.is_module_patched("threading"):
            return super().encode(password, salt, iterations)
        # Who waits for a turn must not keep a connection of the pool from others.
        release_connection()
        hashed: str = _pool().apply(super().encode, (password, salt, iterations))
        return hashed
