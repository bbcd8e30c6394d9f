"""Launch files as what they mean: dotted paths and values, whatever their lines and their order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from compiler.cluster.spans import SPANS
from compiler.diff.options import options
from compiler.diff.side import Side, flat
from compiler.inputs import json_object, yaml_mapping

LAUNCH = "runtime/launch.json"
ARGUMENTS = ("framework/args", "framework/args.others", "framework/environment")
"""Files that say again what launch.json says, quoted for a shell, a word a line."""

IDENTITIES = ("name", "key", "mountPath", "path", "type")
"""By what an entry of a list of Kubernetes is known, the first that all entries have and none shares."""

OWN = ("name", "fingerprint", "schema")
"""Keys of launch.json that name the plan."""


def meaning(side: Side, file: str) -> dict[str, Any]:
    """What a file says, by path; empty for a script without directives. Raises ConfigError for what cannot be read."""
    name = f"{side.path / file}"
    if file.endswith(".json"):
        return dict(_json(file, json_object.read(name, side.text(file), "compile the plan again")))
    if file.startswith("kubernetes/") and file.endswith((".yaml", ".yml")):
        return dict(_objects(name, side.text(file)))
    if file.endswith((".yaml", ".yml")):
        return dict(flat(_keyed(yaml_mapping.read(name, side.text(file)))))
    if file.endswith(".sbatch"):
        return dict(_directives(side.text(file)))
    if file.endswith(ARGUMENTS):
        return dict(options(shlex.split(side.text(file))))
    return {}


def _json(file: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Of launch.json the command by its options."""
    if not file.endswith(LAUNCH):
        yield from flat(_keyed(found))
        return
    yield from _spans(found.get("spans") or {})
    for path, value in flat({key: value for key, value in found.items() if key not in (*OWN, "spans")}):
        if path in ("command", "other_command") and isinstance(value, list):
            texts = [item if isinstance(item, str) else str(_text(item)) for item in value]
            yield from ((f"{path} {option}", values) for option, values in options(texts).items())
        else:
            yield path, value


def _spans(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What ranks check of the links that their groups cross: a line a kind."""
    yield from flat({key: value for key, value in found.items() if key != "kinds"}, "spans")
    for kind, groups in (found.get("kinds") or {}).items():
        crossed = ", ".join(
            f"{count} over {span}" for span, count in zip(SPANS, groups["groups"], strict=True) if count
        )
        runs = (" ".join(f"{size}x{stride}" for size, stride in groups[key]) or "1" for key in ("members", "bases"))
        yield f"spans.{kind}", f"{crossed} (ranks {' from '.join(runs)})"


def _text(computed: Any) -> Any:
    """Of an argument that each node completes, its text with what is put into it."""
    if not isinstance(computed, dict):
        return computed
    return str(computed.get("text")).replace("{PORT}", str(computed.get("port", "{PORT}")))


def _directives(text: str) -> Iterator[tuple[str, Any]]:
    """Options of sbatch; those of the components of a heterogeneous job are counted."""
    component = 0
    for line in re.findall(r"(?m)^#SBATCH +(.*)$", text):
        if line.startswith("hetjob"):
            component += 1
            continue
        option, equals, value = line.partition("=")
        yield f"#SBATCH {option}" + f" of component {component}" * (component > 0), value if equals else ()


def _objects(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """Objects by kind, and by number where there are several of a kind; tables of files in them are left out."""
    seen: dict[str, int] = {}
    for document in re.split(r"(?m)^---$", text):
        found = yaml_mapping.read(name, document)
        if not found:
            continue
        kind = str(found.get("kind"))
        seen[kind] = seen.get(kind, 0) + 1
        if kind == "ConfigMap":
            found = {key: value for key, value in found.items() if key not in ("data", "binaryData")}
        number = f"#{seen[kind]}" * (seen[kind] > 1)
        yield from ((f"{kind}{number}.{path}", value) for path, value in flat(_keyed(found)))


def _keyed(value: Any) -> Any:
    """Lists of mappings as mappings by what their entries are called."""
    if isinstance(value, dict):
        return {key: _keyed(item) for key, item in value.items()}
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return value
    for identity in IDENTITIES:
        names = [item.get(identity) for item in value]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return {
                item[identity]: _keyed({key: other for key, other in item.items() if key != identity}) for item in value
            }
    return {str(number): _keyed(item) for number, item in enumerate(value)}


def program(text: str) -> list[str]:
    """Lines of a script that do something, without comments and the digests of files."""
    lines = (re.sub(r"(^|\s)#(?!!).*", "", line).rstrip() for line in text.splitlines())
    return [re.sub(r"\b[0-9a-f]{64}\b", "{sha256}", line) for line in lines if line]


def names(side: Side) -> re.Pattern[str]:
    """Every name that a plan gives itself and its objects, its fingerprints, and digests of files, as whole words.

    A name of digits alone could be any number, and is none here.
    """
    found = {side.name, str(side.contents.get("fingerprint"))}
    for part in side.parts.values():
        found |= {part.plan.name, str(part.plan.contents.get("fingerprint"))}
    found |= {fingerprint[:12] for fingerprint in found if re.fullmatch("[0-9a-f]{64}", fingerprint)}
    for file in side.files:
        if file.startswith("kubernetes/"):
            found |= {value for path, value in meaning(side, file).items() if is_name(path) and isinstance(value, str)}
    words = "".join(re.escape(word) + "|" for word in sorted(found, key=len, reverse=True) if not word.isdigit())
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words}[0-9a-f]{{64}})(?![A-Za-z0-9])")


def is_name(path: str) -> bool:
    """Whether a path of a manifest holds what an object is called."""
    ends = (".metadata.name", ".subdomain", "app.kubernetes.io/instance", "app.kubernetes.io/part-of", "rankplan/name")
    return path.endswith(ends)


def anonymous(value: Any, own: re.Pattern[str]) -> Any:
    """A value with the plan's own names taken out of its texts."""
    if isinstance(value, str):
        return own.sub("{name}", value)
    return [anonymous(item, own) for item in value] if isinstance(value, (list, tuple)) else value
