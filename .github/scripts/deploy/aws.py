"""Clients of AWS."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_ssm import SSMClient


@dataclass(frozen=True)
class Aws:
    """The four services that a deployment talks to."""

    region: str
    ecr: "ECRClient"
    ecs: "ECSClient"
    logs: "CloudWatchLogsClient"
    ssm: "SSMClient"

    @classmethod
    def connect(cls, region: str) -> Self:
        """Return clients with the credentials of the environment. Asks AWS nothing yet."""
        # A deployment that has begun must not end for one answer that went lost.
        config = Config(retries={"mode": "standard", "total_max_attempts": 6})
        return cls(
            region,
            boto3.client("ecr", region_name=region, config=config),
            boto3.client("ecs", region_name=region, config=config),
            boto3.client("logs", region_name=region, config=config),
            boto3.client("ssm", region_name=region, config=config),
        )
