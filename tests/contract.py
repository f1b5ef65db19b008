"""The contract of the tests: theirs, so that the one that ships can be changed."""

from validator.contracts import Contract
from validator.fields import Text


class Message(Contract):
    """A message for the data lake."""

    field1 = Text(example="a")
    field2 = Text(example="b")
    field3 = Text(example="c")
    field4 = Text(example="d")


CONTRACTS = [Message]
