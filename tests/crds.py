"""Strict schemas of custom resources: an unknown field is an error, which a server would drop without a word."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[1].parent / "shared" / "crds"
needed = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the schemas of the custom resources are not beside this checkout"
)
KINDS = {"JobSet", "LeaderWorkerSet", "DisaggregatedSet", "TrainJob", "TrainingRuntime", "MPIJob"}


def is_custom(document: dict[str, Any]) -> bool:
    return document["kind"] in KINDS or document["apiVersion"].startswith("batch.volcano.sh/")


def errors(document: dict[str, Any]) -> list[str]:
    """What the schema of a custom resource has against a document."""
    found = _validator(document["apiVersion"], document["kind"]).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


@cache
def _validator(api: str, kind: str) -> Draft202012Validator:
    contents = json.loads((FOLDER / f"{api.replace('/', '_')}_{kind}.json").read_text())
    assert (contents["served"], contents["kind"]) == (True, kind)
    schema = _strict(contents["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return Draft202012Validator(schema)


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, closed wherever the server would prune."""
    found = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if "properties" in schema:
        found["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _strict(found[key])
    return found
