"""vLLM's options: the fields of its configurations, which engine/arg_utils.py makes options of."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.frameworks import lifted
from tests import parser_hints as hints
from tests.parser_hints import classes, fields
from tests.wheels import wheel

Table = dict[str, str]
SOURCES = ("engine/arg_utils.py", "entrypoints/common/cli_args.py", "entrypoints/cli/serve.py")
SIZES = (
    *("max_num_batched_tokens", "max_num_scheduled_tokens", "kv_cache_memory_bytes", "max_model_len"),
    *("safetensors_prefetch_block_size", "max_num_queued_tokens"),
)
"""Numbers that may have a letter for thousands behind them (human_readable_int of engine/arg_utils.py)."""


CLOSED = {"cache_dtype": "CacheDType", "quantization": "QuantizationMethods", "dtype": "ModelDType"}
"""Options that any text may stand behind, as far as annotations say, and the list that they are held against later."""
LOOSE = ("moe_backend", "linear_backend", "sparse_indexer_topk_backend")
"""Options whose values are spelt in lower case and with `_` before they are looked up (engine/arg_utils.py)."""
LATE = ("speculative_config", "watermark_config", "diffusion_config")
"""Read as plain JSON, with `-` in the place of `_` too, and by their class later (engine/arg_utils.py create_speculative_config)."""
LISTS = ("model_executor/layers/quantization/__init__.py", "v1/attention/backends/registry.py")
BACKEND = "--attention-backend"


def table(known_names: list[str]) -> Table:
    """The fields of its configurations, which arg_utils.py makes options of; written-out ones take anything."""
    source = lifted.Source("vllm", wheel("vllm", "0.33.0"))
    paths = (*LISTS, *source.names("config"), *(path for path in SOURCES if source.holds(path)))
    trees = [source.tree(path) for path in paths]
    known, configs = hints.names(trees), {node.name: node for tree in trees for node in classes(tree)}
    spaces = {
        ast.unparse(node.targets[0]): ast.unparse(node.value.args[0])
        for node in ast.walk(source.tree(SOURCES[0]))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "get_kwargs"
    }  # fmt: skip
    apart = {ast.unparse(node.targets[0]): node.value for node in ast.walk(source.tree(SOURCES[0])) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)}  # fmt: skip
    found: Table = {}
    options = _Options(known, configs)
    for call in _added(source.tree(SOURCES[0])):
        for name in _constants(call.args):
            found[name] = ""
            for space, field in (pair for keyword in call.keywords for pair in _taken(keyword, apart)):
                item = fields(configs.get(spaces.get(space, ""))).get(field)
                found |= dict(options.lines(name, field, item))
    for name in ("BaseFrontendArgs", "FrontendArgs"):
        for field, item in fields(configs.get(name)).items():
            found |= dict(options.lines("--" + field.replace("_", "-"), field, item))
    found[BACKEND] = "loose in auto " + " ".join(_members(configs["AttentionBackendEnum"]))
    return {**dict.fromkeys(known_names, ""), **found}


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Names of an enumeration."""
    for item in node.body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            yield item.targets[0].id


def _taken(keyword: ast.keyword, apart: Mapping[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Whose keywords a call takes over: `scheduler_kwargs` and the field, or a name of its own for both."""
    if keyword.arg is not None:
        return
    for node in ast.walk(apart.get(ast.unparse(keyword.value), keyword.value)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield ast.unparse(node.value), str(node.slice.value)


@dataclass(frozen=True)
class _Options:
    """What names of its modules stand for, and its classes."""

    known: hints.Names
    configs: Mapping[str, ast.ClassDef]

    def lines(self, name: str, field: str, item: ast.AnnAssign | None) -> Iterator[tuple[str, str]]:
        """An option, and those that its JSON holds where it stands for a configuration."""
        owner = self._class(item)
        if owner is None:
            yield name, self._plain(field, item)
            return
        late = field in LATE
        yield name, "json" if late else "json letters"
        for key, inner in self._keys(owner) if name.startswith("--") else ():
            yield f"{name}.{key}", inner
            if late and "_" in key:
                yield f"{name}.{key.replace('_', '-')}", inner

    def _keys(self, owner: ast.ClassDef) -> Iterator[tuple[str, str]]:
        """What a configuration in JSON may hold; a key that its class reads in several ways takes anything."""
        free = _before(owner)
        for key, item in fields(owner).items():
            of_its_own = self._class(item)
            if of_its_own is not None:
                yield from ((f"{key}.{inner}", kind) for inner, kind in self._keys(of_its_own))
            hint = self.known.hint(item.annotation)
            if {key, "*"} & free or of_its_own is not None:
                yield key, ""
            elif hint.types - {"None"} == {"bool"}:
                yield key, "bool"
            else:
                yield key, hints.loosened(hints.words(hint, hints.bounds(item.value)))

    def _class(self, item: ast.AnnAssign | None) -> ast.ClassDef | None:
        """The configuration that a field stands for, which takes no key that it does not know."""
        types = self.known.hint(item.annotation).types - {"None"} if item else set()
        found = self.configs.get(next(iter(types))) if len(types) == 1 else None
        made = [ast.unparse(each).partition("(")[0] for each in found.decorator_list] if found else []
        return found if "config" in made else None

    def _plain(self, field: str, item: ast.AnnAssign | None) -> str:
        if item is None:
            return ""
        hint = self.known.hint(ast.Name(CLOSED[field]) if field in CLOSED else item.annotation)
        if "bool" in hint.types:
            return "" if "str" in hint.types else "switch"
        if field in LOOSE:
            return f"loose {hints.words(hint)}"
        found = hints.words(hint, hints.bounds(item.value))
        if field in SIZES:
            return f"{found} letters" + " in auto" * (field == "max_model_len")
        only = ast.unparse(item.annotation).removesuffix(" | None").startswith("dict[")
        return "json" if only else found


def _before(owner: ast.ClassDef) -> set[str]:
    """Fields that a class changes before it looks at their types."""
    calls = [each for node in owner.body if isinstance(node, ast.FunctionDef) for each in node.decorator_list]
    return {
        str(word.value)
        for call in calls
        if isinstance(call, ast.Call) and any(ast.unparse(item.value) == "'before'" for item in call.keywords)
        for word in call.args
        if isinstance(word, ast.Constant)
    }


def _added(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            yield node


def _constants(nodes: list[ast.expr]) -> list[str]:
    return [str(node.value) for node in nodes if isinstance(node, ast.Constant) and str(node.value).startswith("-")]
