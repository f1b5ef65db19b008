"""A peer of our validator: Flask and boto3, one SendMessage for each request.

Written as a team would that follows the guides of Flask, gunicorn and boto3: the same contract, the
same answer, one client for all threads of a process. No audit log, metrics, throttling or log line.
"""

import hmac
import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from flask import Flask, Response, jsonify, request

from bench.peers.flask_gunicorn import threads

FIELDS = {"field1", "field2", "field3", "field4"}
MAX_FIELD_LENGTH = 65_536
TOKEN = os.environ["API_TOKENS"].encode()
QUEUE_URL = os.environ["SQS_QUEUE_URL"]

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 327_680
sqs = boto3.client("sqs", config=Config(max_pool_connections=threads))


@app.post("/")
def accept() -> tuple[Response, int]:
    body = request.get_json()
    if not isinstance(body, dict) or body.keys() != {"token", "data"}:
        return _refused(400, "contract_broken")
    if not isinstance(body["token"], str) or not _is_known(body["token"]):
        return _refused(401, "token_unknown")
    data = body["data"]
    if not isinstance(data, dict) or data.keys() != FIELDS or not all(map(_is_text, data.values())):
        return _refused(400, "contract_broken")
    message_id = str(uuid.uuid4())
    message = {
        "message_id": message_id,
        "accepted_at": datetime.now(UTC).isoformat(),
        "client": "default",
        "data": data,
    }
    sqs.send_message(QueueUrl=QUEUE_URL, MessageBody=json.dumps(message))
    return jsonify(message_id=message_id, status="queued"), 202


def _is_known(token: str) -> bool:
    return hmac.compare_digest(token.encode(), TOKEN)


def _is_text(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= MAX_FIELD_LENGTH
        and bool(value.strip())
        and "\0" not in value
    )


def _refused(status: int, code: str) -> tuple[Response, int]:
    return jsonify(code=code), status
