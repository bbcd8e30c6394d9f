"""The text of a YAML list of mappings -> items that know their lines."""

from __future__ import annotations

from typing import Any

from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.inputs.file import MOST_YAML_BYTES
from compiler.inputs.yaml_mapping import bounded, safe_loader


@dataclass(frozen=True)
class Item:
    """A mapping of a file, its values by key; `what` is what a message calls the file."""

    what: str
    line: int
    values: dict[str, Any]

    def has(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str:
        """A plain value as it is written; empty where there is none."""
        node = self.values.get(key)
        return str(node.value) if node is not None and node.id == "scalar" and not _null(node) else ""

    def texts(self, key: str) -> list[tuple[int, str]]:
        """Line and text of a value, or of each of a list of values."""
        node = self.values.get(key)
        if node is None or _null(node):
            return []
        found = node.value if node.id == "sequence" else [node]
        return [(each.start_mark.line + 1, self._scalar(key, each)) for each in found]

    def child(self, key: str) -> Item:
        return _item(self.what, self.values[key])

    def list(self, key: str) -> list[Item]:
        """The mappings of a list; none where the key is not there."""
        node = self.values.get(key)
        if node is None or _null(node):
            return []
        if node.id != "sequence":
            raise ConfigError.of(
                f"{self.what} line {node.start_mark.line + 1}: {key} is no list", "write - for each of it"
            )
        return [_item(self.what, each) for each in node.value]

    def _scalar(self, key: str, node: Any) -> str:
        if node.id != "scalar":
            raise ConfigError.of(f"{self.what} line {node.start_mark.line + 1}: {key} is no text", "write a text")
        return str(node.value)


def items(what: str, text: str) -> list[Item]:
    """Raises ConfigError for what is no YAML, no list of mappings, or more than can be handled."""
    import yaml

    try:
        bounded(what, text, safe_loader(), 16 * MOST_YAML_BYTES)
        node: Any = yaml.compose(text, safe_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or error
        raise ConfigError.of(f"{what}{where} is neither YAML nor JSON: {said}", "mend that line") from error
    if node is None:
        return []
    return [_item(what, each) for each in (node.value if node.id == "sequence" else [node])]


def _item(what: str, node: Any) -> Item:
    line = node.start_mark.line + 1
    if node.id != "mapping":
        raise ConfigError.of(f"{what} line {line}: no mapping of keys to values stands there", "write key: value")
    values: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value) if key.id == "scalar" else ""
        if name in values:
            raise ConfigError.of(f"{what} line {key.start_mark.line + 1}: {name} stands twice", "write it once")
        values[name] = value
    return Item(what, line, values)


def _null(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")
