"""Changes modules of ours right after their import, in a process that is to be sabotaged.

Python imports it by its name when its directory is on PYTHONPATH (tests/chaos/sabotage.py).
"""

import dataclasses
import importlib.abc
import importlib.machinery
import logging
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def _delete_before_storing(handling: ModuleType) -> None:
    store = handling.Handler._store_parts

    def store_parts(self: Any, parts: Any, key: str, body: bytes) -> None:
        for part in parts:
            self._acknowledge(part)
        store(self, parts, key, body)

    handling.Handler._store_parts = store_parts


def _fresh_key(handling: ModuleType) -> None:
    object_key = handling.object_key
    handling.object_key = lambda message: object_key(
        dataclasses.replace(message, message_id=uuid.uuid4())
    )


def _trust_the_batch(sqs: ModuleType) -> None:
    assert callable(sqs._outcome)
    sqs._outcome = lambda _send, _result: None


def _swallow_poison(handling: ModuleType) -> None:
    assert callable(handling.Handler.leave_undecodable)
    handling.Handler.leave_undecodable = lambda self, delivery: self._receiver.acknowledge(
        [delivery]
    )


def _no_unique_key(idempotency: ModuleType) -> None:
    class Claim(idempotency.Claim):  # type: ignore[name-defined, misc]
        def confirm(self) -> None:
            pass

        def release(self) -> None:
            pass

    assert callable(idempotency.claim)
    idempotency.claim = lambda _key, message: Claim(0, message)


def _own_time(idempotency: ModuleType) -> None:
    claim = idempotency.claim

    def claim_anew(key: str, message: Any) -> Any:
        found = claim(key, message)
        mine = dataclasses.replace(found.message, accepted_at=message.accepted_at)
        return dataclasses.replace(found, message=mine)

    idempotency.claim = claim_anew


def _give_up_in_outage(outage: ModuleType) -> None:
    assert callable(outage.StorageOutage.wait)
    outage.StorageOutage.wait = lambda _self, _seconds, **_options: False
    outage.StorageOutage.is_on = False


def _refuse_dotted_codes(handler: ModuleType) -> None:
    action = handler.action
    handler.action = lambda exc: (
        handler.Action.REFUSE if "." in handler.describe(exc) else action(exc)
    )


def _fail_without_credentials(credentials: ModuleType) -> None:
    assert issubclass(credentials.CredentialsUnavailable, Exception)

    class Unavailable(RuntimeError):
        def __init__(self, reason: str) -> None:
            super().__init__(reason)
            self.reason = reason

    credentials.CredentialsUnavailable = Unavailable


def _lose_events_silently(recorder: ModuleType) -> None:
    assert callable(recorder._lose)
    recorder._lose = lambda _events, _cause: None


def _log_content(message: ModuleType) -> None:
    encode = message.Message.encode

    def encode_and_tell(self: Any) -> Any:
        body = encode(self)
        logging.getLogger("sabotage").warning(body)
        return body

    message.Message.encode = encode_and_tell


#: Which module each sabotage changes, and how.
_PATCHES: dict[str, tuple[str, Callable[[ModuleType], None]]] = {
    "delete-before-storing": ("uploader.handler", _delete_before_storing),
    "fresh-key": ("uploader.handler", _fresh_key),
    "trust-the-batch": ("cpsite.queue.client", _trust_the_batch),
    "swallow-poison": ("uploader.handler", _swallow_poison),
    "no-unique-key": ("validator.idempotency", _no_unique_key),
    "own-time": ("validator.idempotency", _own_time),
    "give-up-in-outage": ("uploader.storage_outage", _give_up_in_outage),
    "refuse-dotted-codes": ("uploader.handler", _refuse_dotted_codes),
    "fail-without-credentials": ("cpsite.credentials", _fail_without_credentials),
    "lose-events-silently": ("cpsite.audit.recorder", _lose_events_silently),
    "log-content": ("cpsite.message", _log_content),
}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are to be changed, as they are found otherwise."""

    def __init__(self, names: Sequence[str]) -> None:
        self._patches = [_PATCHES[name] for name in names]

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        patches = [patch for module, patch in self._patches if module == name]
        if not patches:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            # Where one does not fit any more, the process does not start: that is no proof either.
            for patch in patches:
                patch(module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder(os.environ["CHAOS_SABOTAGE"].split(",")))
