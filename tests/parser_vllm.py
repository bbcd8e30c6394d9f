"""vLLM's options: the fields of its configurations, which engine/arg_utils.py makes options of."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

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
    for call in _added(source.tree(SOURCES[0])):
        for name in _constants(call.args):
            found[name] = ""
            for space, field in (pair for keyword in call.keywords for pair in _taken(keyword, apart)):
                item = fields(configs.get(spaces.get(space, ""))).get(field)
                found[name] = _of_vllm(known, field, item)
    for name in ("BaseFrontendArgs", "FrontendArgs"):
        for field, item in fields(configs.get(name)).items():
            found["--" + field.replace("_", "-")] = _of_vllm(known, field, item)
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


def _of_vllm(known: hints.Names, field: str, item: ast.AnnAssign | None) -> str:
    if item is None or field in SIZES:
        return ""
    hint = known.hint(ast.Name(CLOSED[field]) if field in CLOSED else item.annotation)
    if "bool" in hint.types:
        return "" if "str" in hint.types else "switch"
    if field in LOOSE:
        return f"loose {hints.words(hint)}"
    return hints.words(hint, hints.bounds(item.value))


def _added(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            yield node


def _constants(nodes: list[ast.expr]) -> list[str]:
    return [str(node.value) for node in nodes if isinstance(node, ast.Constant) and str(node.value).startswith("-")]
