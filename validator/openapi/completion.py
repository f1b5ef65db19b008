"""Adds what drf-spectacular does not generate: health checks and shared components."""

from http import HTTPStatus
from typing import Any

from validator.openapi.components import Schema, ref, schemas
from validator.openapi.responses import answers_elsewhere, json_answer, phrase


def complete(result: Schema, **_kwargs: Any) -> Schema:
    """Complete the document. A postprocessing hook of drf-spectacular."""
    result["paths"]["/"]["post"]["requestBody"]["required"] = True
    result["paths"] |= {
        "/health/live": _health("is_alive", "Check whether the process answers", ["Live"]),
        "/health/ready": _health(
            "is_ready", "Check whether messages can be accepted", ["Ready", "Unavailable"]
        ),
    }
    components = result.setdefault("components", {})
    components["schemas"] = schemas()
    components["responses"] = answers_elsewhere()
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return result


def _health(operation_id: str, summary: str, names: list[str]) -> Schema:
    statuses = [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE]
    found = {
        str(status.value): json_answer(phrase(status.value), ref("schemas", name))
        for status, name in zip(statuses, names, strict=False)
    }
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "tags": ["health"],
            "responses": found,
        }
    }
