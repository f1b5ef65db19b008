"""Our concurrent code under a scheduler of our own, which decides who runs next.

A test that starts threads tries a few orders of events, and not the same ones twice. Here each test
explores: it runs the real module again and again, each time in another order, and asks after each
run whether the module's promises held. A failure prints the order, which repeats it exactly.

- `scheduler.py`: tasks, of which one runs at a time; a clock that moves only when the search says.
- `primitives.py`: threading, time, queue and concurrent.futures, made of that; `load` gives a copy
  of a real module that uses them.
- `search.py`: which orders are run: all within a bound (the method of CHESS), or random ones from a
  seed (random walks, and PCT).
- `test_*.py`: the explorations. Each says in words what must hold.

`make test` runs a short version, `make interleavings` the long one, which prints its figures.

Where a task can be interrupted is a choice of each exploration (`Switch`): only where it waits, as
gevent does it to the validator; at each call of a primitive; or before each statement, as threads
do it to the uploader.

Libraries were looked at. frontrun and interleave-test run real threads and know neither gevent's
rule nor a thread that is killed while it waits, and interleave-test needs Python 3.12.
"""
