"""The contracts: what `data` of a message holds. This is the file to change.

docs/changing-the-contract.md says how, and which kinds of fields there are (validator/fields.py).
Run `make schema` afterwards.
"""

from validator.contracts import Contract
from validator.fields import Text


class Message(Contract):
    """A message for the data lake."""

    field1 = Text(example="a")
    field2 = Text(example="b")
    field3 = Text(example="c")
    field4 = Text(example="d")


#: The first is the default, at `/`. Others are at `/messages/<name>/`.
CONTRACTS = [Message]
