"""The error for a measurement that is impossible or would be wrong."""


class CannotMeasure(Exception):
    """A measurement is not possible, or would be wrong. The text is what to show.

    The notes hold the end of the log of each process concerned.
    """

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *getattr(self, "__notes__", [])])
