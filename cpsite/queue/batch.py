"""SQS's batch calls: one request for up to ten messages, and one outcome for each message.

A batch call that succeeds may still have failed for some of its entries (AWS: SQS API reference,
SendMessageBatch): only an entry that is listed as successful was done.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cpsite.aws import QueueRefused

#: Entries of one batch call, and messages of one receive (AWS: "Amazon SQS message quotas").
BATCH_ENTRIES: Final = 10

#: Errors with which SQS refuses a whole batch because of one entry. It would accept the others.
_BLAMED_ON_AN_ENTRY: Final = {
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "AWS.SimpleQueueService.InvalidBatchEntryId",
    "InvalidMessageContents",
    "InvalidParameterValue",
}

Entry = dict[str, Any]


def perform(
    call: Callable[[Sequence[Entry]], Mapping[str, Any]],
    entries: Sequence[Entry],
    *,
    may_retry: Callable[[], bool] = lambda: True,
) -> list[Entry | QueueRefused]:
    """Make one batch call; return for each entry SQS's confirmation or its refusal.

    An entry that SQS did not mention gets `{}`: that is no confirmation. `entries` have no Ids yet.
    Entries that failed without a sender fault are retried once, together, if `may_retry()` is true.
    Raises what `call` raises.
    """
    results = _attempt(call, entries)
    again = [
        number
        for number, result in enumerate(results)
        if isinstance(result, QueueRefused) and not result.sender_fault
    ]
    if again and may_retry():
        try:
            second = _attempt(call, [entries[number] for number in again])
        except (BotoCoreError, ClientError, OSError):
            return results  # the refusals stand
        for number, result in zip(again, second, strict=True):
            # An entry that the second answer does not mention keeps its refusal.
            results[number] = result or results[number]
    return results


def _attempt(
    call: Callable[[Sequence[Entry]], Mapping[str, Any]], entries: Sequence[Entry]
) -> list[Entry | QueueRefused]:
    answer = call([{"Id": str(number), **entry} for number, entry in enumerate(entries)])
    verdicts: dict[str, Entry | QueueRefused] = {
        failed["Id"]: QueueRefused(failed["Code"], sender_fault=failed.get("SenderFault", True))
        for failed in answer.get("Failed", ())
    }
    for done in answer.get("Successful", ()):
        verdicts.setdefault(done["Id"], done)
    return [verdicts.get(str(number), {}) for number in range(len(entries))]


def blames_an_entry(exc: ClientError) -> bool:
    """Whether a batch was refused because of one of its entries."""
    return exc.response["Error"]["Code"] in _BLAMED_ON_AN_ENTRY
