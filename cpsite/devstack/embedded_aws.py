"""The queues and the bucket in the embedded AWS, created like those that Terraform creates."""

import json
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cpsite.devstack.configuration import BUCKET, DLQ, QUEUE, Configuration

#: Deliveries of a message before SQS moves it to the dead-letter queue.
MAX_RECEIVE_COUNT = 5
#: 14 days, the longest that SQS keeps a message.
RETENTION_SECONDS = 1_209_600


def client(service: Literal["sqs", "s3"], configuration: Configuration) -> Any:
    """Return a boto3 client for the embedded AWS and for nothing else."""
    return boto3.client(
        service,
        endpoint_url=configuration.endpoint,
        region_name=configuration.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the embedded AWS checks none
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )


def is_up(configuration: Configuration) -> bool:
    """Whether the embedded AWS answers."""
    try:
        client("sqs", configuration).list_queues()
    except (BotoCoreError, ClientError):
        return False
    return True


def is_prepared(configuration: Configuration) -> bool:
    """Create what is missing; return whether that succeeded."""
    try:
        create_resources(
            client("sqs", configuration),
            client("s3", configuration),
            visibility_timeout_seconds=configuration.visibility_timeout_seconds,
        )
    except (BotoCoreError, ClientError):
        return False
    return True


def create_resources(sqs: Any, s3: Any, *, visibility_timeout_seconds: int) -> None:
    """Create the queues and the bucket if they are missing; keep what they hold.

    Raises ClientError or BotoCoreError.
    """
    attributes = {
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        "VisibilityTimeout": str(visibility_timeout_seconds),
    }
    dlq_url = sqs.create_queue(QueueName=DLQ)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dlq_url, Attributes=attributes)
    dlq = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": dlq["QueueArn"], "maxReceiveCount": MAX_RECEIVE_COUNT}
    attributes["RedrivePolicy"] = json.dumps(redrive)
    queue_url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes=attributes)
    if BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=BUCKET)
