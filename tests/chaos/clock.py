"""A wall clock that can be set, for one process and what it starts: libfaketime."""

import time
from collections.abc import Sequence
from pathlib import Path

#: Where Debian's package puts it.
_LIBRARIES: Sequence[Path] = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
_DAY = 86_400


class Clock:
    """Stands some seconds before or after the next midnight (UTC), and runs on from there.

    The monotonic clock stays as it is.
    """

    def __init__(self, scratch: Path) -> None:
        self._file = scratch / "clock"
        self._midnight = (time.time() // _DAY + 1) * _DAY
        self.set(0.0)

    @staticmethod
    def is_available() -> bool:
        return bool(_LIBRARIES)

    def set(self, seconds: float) -> None:
        """Set it to so many seconds after midnight, or before it where they are negative."""
        offset = self._midnight + seconds - time.time()
        # Replaced as a whole: each look at the clock reads it.
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+.3f}\n")
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return what a process needs to live by this clock."""
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # What it keeps there would outlive a killed process.
            "FAKETIME_DISABLE_SHM": "1",
        }
