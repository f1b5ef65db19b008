"""The database's schema: the validator's pipeline migrates, the uploader's waits for it.

Both are pushed at once, Django's migrate takes no lock, and new code must not run before its
tables are there. So one of them migrates, and the other looks, which harms nobody (docs/adr/0015).
"""

from typing import Final

from deploy import one_off, revisions
from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import MIGRATE, Task
from deploy.one_off import Ended
from deploy.pace import Pace

#: Prints the migrations that the database lacks, and applies none. Exit code 1 where it lacks any.
_LOOK: Final = ("python", "manage.py", "migrate", "--plan", "--check")
#: What it prints first, unlike any crash.
_LACKS_SOME: Final = "Planned operations:"


def migrate(aws: Aws, validator: Task, image: str, pace: Pace) -> None:
    """Migrate with the validator's image. Raises DeployError with why, where it fails."""
    migration = Task(validator.environment, MIGRATE)
    revision = revisions.register(aws, migration, image)
    print(f"migrating with {revision}", flush=True)
    _tell(ended := one_off.run(aws, migration, revision, validator, pace))
    if ended.exit_code != 0:
        raise DeployError(f"the migration {_how(ended)}. Nothing has been deployed")


def wait_for_migrations(aws: Aws, service: Task, revision: str, pace: Pace) -> None:
    """Wait until the database has all that the revision's code knows, by that code's own word.

    This shows at the same time that the revision can be pulled, starts, and reaches the database.
    """

    def look() -> Ended | None:
        _tell(ended := one_off.run(aws, service, revision, service, pace, _LOOK))
        if ended.exit_code == 0:
            return ended
        if any(_LACKS_SOME in line for line in ended.lines):
            print("the database lacks these migrations; waiting for the validator's pipeline")
            return None
        raise DeployError(f"looking for migrations {_how(ended)}. Nothing has been deployed")

    pace.wait(
        look,
        "migrations are to be applied. The validator's pipeline does that: deploy it from this "
        "commit, then run this again",
    )


def _tell(ended: Ended) -> None:
    for line in ended.lines:
        print(f"  | {line}")
    print(flush=True)


def _how(ended: Ended) -> str:
    if ended.exit_code is None:
        return f"did not start: {ended.reason}"
    return f"ended with exit code {ended.exit_code}: {ended.reason}"
