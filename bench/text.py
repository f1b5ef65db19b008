"""Texts for messages: the same in each run, and no easier to compress than real ones."""

import random
from functools import cache
from typing import Final

#: The contract's fields. Repeated here, because the peers know it only from its description.
FIELDS: Final = ("field1", "field2", "field3", "field4")
#: Characters of each field of an everyday message, about 180 bytes as a request.
SHORT: Final = 18

_LONGEST: Final = 65_536
_LETTERS: Final = "etaoinshrdlcumwfgypbvk"


@cache
def _words() -> str:
    choose = random.Random(2026)  # noqa: S311 - not for secrets
    vocabulary = ["".join(choose.choices(_LETTERS, k=choose.randint(2, 11))) for _ in range(5_000)]
    return " ".join(choose.choices(vocabulary, k=40_000))


def fields(number: int, length: int = SHORT) -> dict[str, str]:
    """Return the data of message `number`: four texts of `length` characters each."""
    return {
        name: _text(f"{number} ", number * 7_919 + index * 104_729, length)
        for index, name in enumerate(FIELDS)
    }


def _text(start: str, position: int, length: int) -> str:
    words = _words()
    position %= len(words) - _LONGEST
    return (start + words[position : position + length])[:length]
