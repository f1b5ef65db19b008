"""The names that Terraform gives the parts of an environment."""

from dataclasses import dataclass
from typing import Final

#: The services that a pipeline deploys.
SERVICES: Final = ("validator", "uploader")
#: What else runs a service's image: it is deployed with the service, once that has passed its test.
COMPANIONS: Final = {"validator": ("admin",), "uploader": ()}
#: The one-off task that migrates. It runs the validator's image, in the validator's network.
MIGRATE: Final = "migrate"


@dataclass(frozen=True)
class Task:
    """What runs as a task: a service or the migration. Its main container has its name."""

    #: Name of the environment in AWS, such as cpsite-dev.
    environment: str
    name: str

    @property
    def cluster(self) -> str:
        return self.environment

    @property
    def family(self) -> str:
        """Family of its task definitions; where it is a service, also the service's name."""
        return f"{self.environment}-{self.name}"

    @property
    def companions(self) -> tuple["Task", ...]:
        return tuple(Task(self.environment, name) for name in COMPANIONS.get(self.name, ()))

    @property
    def log_group(self) -> str:
        return f"/{self.environment}/{self.name}"

    @property
    def image_parameter(self) -> str:
        """SSM parameter that says which image is deployed (docs/adr/0013)."""
        return f"/{self.environment}/{self.name}-image"

    def log_stream(self, task_arn: str) -> str:
        """Return the stream of its main container in the task."""
        return f"ecs/{self.name}/{task_arn.rpartition('/')[2]}"
