"""A peer of our uploader: the plain loop over boto3, one call after another.

Takes messages in our wire format (Kombu's envelope, whose `body` is what has to be stored) and
stores them under our keys. No audit log, metrics, retries of its own or log line.
"""

import json
import os

import boto3

QUEUE_URL = os.environ["SQS_QUEUE_URL"]
BUCKET = os.environ["S3_BUCKET"]
PREFIX = os.environ["S3_PREFIX"]


def main() -> None:
    sqs = boto3.client("sqs")
    s3 = boto3.client("s3")
    while True:
        answer = sqs.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for received in answer.get("Messages", []):
            body: str = json.loads(received["Body"])["body"]
            s3.put_object(
                Bucket=BUCKET, Key=_key(body), Body=body.encode(), ContentType="application/json"
            )
            sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=received["ReceiptHandle"])


def _key(body: str) -> str:
    message = json.loads(body)
    day = message["accepted_at"][:10].replace("-", "/")
    return f"{PREFIX}{day}/{message['message_id']}.json"


if __name__ == "__main__":
    main()
