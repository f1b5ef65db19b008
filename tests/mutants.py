"""`make mutants`: change the code in small ways, and see whether the tests notice.

mutmut makes the changes (pyproject.toml says where) and runs the tests that reach each of them.
There are thousands, so a run tries a sample: SIZE of them, chosen by SEED, or those that NAMES
match (`validator.tokens.*`). It prints a score for each module and the changes that survived;
`mutmut show NAME` shows one of them.

A change that cannot be noticed counts as a survivor, as does one that only tests with processes
would notice: they are left out here.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The exit codes of pytest that mean: a test failed, or the change broke its collection.
KILLED = {1, 2, 3}
#: The change made the tests hang (mutmut's codes for its own limits of time).
TIMED_OUT = {24, 36, 152, 255, -24}
NO_TESTS = {5, 33}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="patterns of mutants, such as validator.tokens.*")
    parser.add_argument("--size", type=int, default=300, help="mutants to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (%(default)s)")
    parser.add_argument("--children", type=int, default=2, help="at a time (%(default)s)")
    options = parser.parse_args()
    started = time.monotonic()
    print("Looking which tests reach which mutants; this takes as long as the tests …", flush=True)
    _prepare()
    known = sorted(_results())
    chosen = [
        name
        for name in known
        if not options.names or any(fnmatch(name, pattern) for pattern in options.names)
    ]
    if not chosen:
        parser.error(f"none of the {len(known)} mutants matches")
    # The order is part of the sample: it must not change with the modules' names.
    sample = random.Random(options.seed).sample(chosen, min(options.size, len(chosen)))
    print(f"{len(sample)} of {len(known)} mutants, seed {options.seed}", flush=True)
    _mutmut("run", "--max-children", str(options.children), *sample)
    _report(sample)
    print(f"{(time.monotonic() - started) / 60:.0f} minutes")


def _mutmut(*arguments: str) -> int:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.call(command, cwd=ROOT)


def _prepare() -> None:
    """Write the mutants, and find out which tests reach which of them.

    mutmut has no command for this alone. It stops at a name that no mutant has, once it is done.
    """
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "nothing matches" not in done.stderr:
        # It does not say which test has failed.
        hint = "If a test has failed, `cd mutants` and run pytest there: it must pass unchanged."
        sys.exit(f"{done.stdout}{done.stderr}\n{hint}")


def _results() -> dict[str, int | None]:
    """Return each mutant's name and the exit code of its tests, None if they have not run."""
    found: dict[str, int | None] = {}
    for meta in (ROOT / "mutants").rglob("*.meta"):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def _report(sample: Iterable[str]) -> None:
    results = _results()
    counts: dict[str, Counter[str]] = {}
    survivors = []
    for name in sorted(sample):
        module = name.rpartition(".")[0]
        outcome = _outcome(results[name])
        counts.setdefault(module, Counter())[outcome] += 1
        if outcome != "noticed":
            survivors.append(f"{name}  ({outcome})")
    total: Counter[str] = sum(counts.values(), Counter())
    for module, count in [*counts.items(), ("all", total)]:
        print(f"{module:34} {count['noticed']:4} of {count.total():4}")
    print("\nNot noticed:", *(survivors or ["none"]), sep="\n")
    print(f"\nscore {total['noticed'] / total.total():.0%}")


def _outcome(code: int | None) -> str:
    if code in KILLED or code in TIMED_OUT:
        return "noticed"
    if code in NO_TESTS:
        return "no test reaches it"
    return "survived" if code == 0 else f"unclear: exit code {code}"


if __name__ == "__main__":
    main()
