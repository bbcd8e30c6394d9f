"""What a server would say of manifests: schemas, webhooks and lint; and ways to break one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from kubernetes_validate import utils

from compiler.render.artifacts import Artifact
from compiler.schedulers.kubernetes.webhooks import refused
from tests import crds

utils.schema_contents = cache(utils.schema_contents)
"""A megabyte of definitions, read once and not for each object."""

MINOR = int(utils.latest_version().split(".")[1])
VERSIONS = [f"1.{MINOR - back}" for back in range(3)]
COMPUTE_DOMAIN = {"apiVersion", "kind", "metadata", "spec"}
Document = dict[str, Any]


def templates(node: Any) -> list[Document]:
    """Pod templates anywhere in an object, however a custom resource wraps them."""
    if isinstance(node, list):
        return [found for entry in node for found in templates(entry)]
    if not isinstance(node, dict):
        return []
    own = [node] if "containers" in node.get("spec", {}) else []
    return own + [found for entry in node.values() for found in templates(entry)]


def as_pod(template: Document) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", **template}


def fit(documents: Iterable[Document]) -> None:
    """Core resources at the last three versions, with the pods of custom ones; custom resources as they are served."""
    found = list(documents)
    for document in found:
        if document["kind"] == "ComputeDomain":  # its schema is not at hand
            assert set(document) == COMPUTE_DOMAIN
            assert set(document["spec"]) == {"channel"}
            continue
        core = [] if crds.is_custom(document) else [document]
        assert not crds.is_custom(document) or crds.errors(document) == []
        for item in core + [as_pod(template) for template in templates(document)]:
            for version in VERSIONS:
                kubernetes_validate.validate(item, version, strict=True)
    assert [item for item in refused(found) if item.status != "pass"] == []


def lint(files: dict[str, Artifact], folder: Path) -> None:
    """What yamllint has against the manifests: nothing."""
    for path, item in files.items():
        if path.startswith("kubernetes/"):
            (folder / Path(path).name).write_text(str(item.text), encoding="utf-8")
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", "extends: default", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stdout) == (0, "")


def put(path: str, value: Any) -> Callable[[Document], None]:
    """Sets a path such as spec.tasks.0.replicas."""

    def change(document: Document) -> None:
        node, last = _at(document, path)
        node[int(last) if isinstance(node, list) else last] = value

    return change


def drop(path: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        node, last = _at(document, path)
        del node[last]

    return change


def _at(document: Document, path: str) -> tuple[Any, str]:
    *way, last = path.split(".")
    node: Any = document
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node, last
