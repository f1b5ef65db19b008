"""Adds what drf-spectacular does not generate: health checks and shared components."""

from http import HTTPStatus
from typing import Any

from validator.contracts import contracts
from validator.openapi.components import Schema, ref, schemas
from validator.openapi.responses import answers_elsewhere, json_answer, phrase

#: Path, its pattern, method and view.
Endpoint = tuple[str, str, str, Any]


def without_slashless(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Leave out the second form of each path. A preprocessing hook of drf-spectacular."""
    return [endpoint for endpoint in endpoints if endpoint[0].endswith("/")]


def complete(result: Schema, **_kwargs: Any) -> Schema:
    """Complete the document. A postprocessing hook of drf-spectacular."""
    operations = [result["paths"][contract.path]["post"] for contract in contracts()]
    for operation in operations:
        operation["requestBody"]["required"] = True
    result["paths"] |= {
        "/health/live": _health("is_alive", "Check whether the process answers", ["Live"]),
        "/health/ready": _health(
            "is_ready", "Check whether messages can be accepted", ["Ready", "Unavailable"]
        ),
    }
    components = result.setdefault("components", {})
    components["schemas"] = schemas()
    components["responses"] = answers_elsewhere() | _shared(operations)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return result


def _shared(operations: list[Schema]) -> Schema:
    """Replace the answers that all contracts have by references; return these answers by name.

    A further contract would repeat hundreds of lines.
    """
    shared = {}
    for status, answer in operations[0]["responses"].items():
        if len(operations) > 1 and all(each["responses"][status] == answer for each in operations):
            shared[f"Send{status}"] = answer
            for operation in operations:
                operation["responses"][status] = ref("responses", f"Send{status}")
    return shared


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
