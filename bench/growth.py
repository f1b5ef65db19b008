"""How the cost of a message grows with the length of the backlog and with its size. Ours only."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from bench import consumers, servers
from bench.consumers import Backlog, Uploader
from bench.load import Load
from bench.progress import report
from bench.results import Result, Task
from bench.servers import Validator
from bench.stack import Stack

#: Numbers of messages in a backlog, and the large ones that take a while.
_BACKLOGS: Final = (1_000, 10_000)
_LARGE_BACKLOGS: Final = (100_000,)

#: Sizes of a message: characters of each of its four fields, and how many messages.
_SIZES: Final = {"1 KB": (256, 1_000), "64 KB": (16_384, 400), "256 KB": (65_536, 200)}
_CONCURRENCY: Final = 16


def backlog_tasks(
    stack: Stack, uploaders: Sequence[Uploader], *, rounds: int, full: bool
) -> Iterator[Task]:
    """Measure our uploader with growing backlogs; with the large ones only once."""
    for number in range(1, rounds + 1):
        large = _LARGE_BACKLOGS if full and number == 1 else ()
        for messages in (*_BACKLOGS, *large):
            for uploader in uploaders:
                title, case = f"round {number}/{rounds}", f"{messages:,} messages"
                yield partial(_upload, stack, uploader, Backlog(messages), "backlog", title, case)


def size_tasks(
    stack: Stack, validators: Sequence[Validator], uploaders: Sequence[Uploader], *, rounds: int
) -> Iterator[Task]:
    """Measure our services with growing messages."""
    for number in range(1, rounds + 1):
        title = f"round {number}/{rounds}"
        for size, (length, messages) in _SIZES.items():
            for validator in validators:
                case = f"accept {size}, c={_CONCURRENCY}"
                yield partial(_accept, stack, validator, length, messages, title, case)
            for uploader in uploaders:
                backlog, case = Backlog(messages, length), f"store {size}"
                yield partial(_upload, stack, uploader, backlog, "size", title, case)


def _accept(
    stack: Stack, validator: Validator, length: int, messages: int, title: str, case: str
) -> Iterator[Result]:
    report("size", title, validator.name, case)
    body = servers.write_body(stack.scratch, length)
    with servers.started(validator, stack) as server:
        work = Load(_CONCURRENCY, messages, body)
        yield servers.measure(server, stack, case, work, scenario="size")


def _upload(
    stack: Stack, uploader: Uploader, backlog: Backlog, scenario: str, title: str, case: str
) -> Iterator[Result]:
    report(scenario, title, uploader.name, case)
    yield consumers.measure(uploader, stack, case, backlog, scenario=scenario)
