"""What keeps the benchmark from a true number."""


class CannotMeasure(Exception):
    """A measurement is not possible, or would not be true; the text is what to show.

    Its notes hold the end of the log of each process that it happened to.
    """

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *getattr(self, "__notes__", [])])
