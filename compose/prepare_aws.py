"""Make the queues and the bucket of compose.yaml, as Terraform makes the real ones."""

import boto3

from cpsite.devstack import embedded_aws

if __name__ == "__main__":
    # Region, endpoint and credentials come from the environment.
    embedded_aws.create_resources(
        boto3.client("sqs"), boto3.client("s3"), visibility_timeout_seconds=60
    )
