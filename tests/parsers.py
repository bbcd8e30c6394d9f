"""Write the tables of options: `python -m tests.parsers`, with the wheels in the folder that RANKPLAN_WHEELS names."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path

from compiler.frameworks import lifted
from compiler.frameworks.known import ANY
from tests import parser_deepspeed, parser_vllm
from tests import parser_hints as hints
from tests.megatron_plans import newest_megatron
from tests.parser_hints import classes, fields
from tests.parser_limits import limited
from tests.wheels import wheel

FOLDER = Path(lifted.__file__).parent
Table = dict[str, str]


def megatron() -> Table:
    """Its own argparse parser."""
    with newest_megatron():
        from compiler.frameworks.megatron.installed import module

        arguments = module("megatron.training.arguments")
        parser = arguments.add_megatron_arguments(arguments.argparse.ArgumentParser(allow_abbrev=False))
        return {name: of_action(action) for name, action in parser._option_string_actions.items()}


def of_action(action: argparse.Action) -> str:
    """What argparse lets behind an option."""
    if action.nargs == 0:
        return "switch"
    if action.nargs not in (None, "+"):
        return ""
    many = "many " if action.nargs == "+" else ""
    if action.choices:
        choices = [choice.name if isinstance(choice, Enum) else str(choice) for choice in action.choices]
        return "" if any(" " in choice or not choice for choice in choices) else f"{many}in {' '.join(choices)}"
    kind = {int: "int", float: "float"}.get(action.type, "text" if action.type in (None, str) else "")  # type: ignore[call-overload]
    return f"{many}{kind}" if kind else ""


def sglang(release: str) -> Callable[[], Table]:
    """The fields of its namespaces (srt/arg_groups/fields), which add_cli_args_from_dataclass makes options of."""

    def table() -> Table:
        source = lifted.Source("sglang", wheel("sglang", release))
        paths = source.names("srt/arg_groups/fields")
        choices = source.tree("srt/arg_groups/choices.py")
        known = hints.names([choices])
        found = {name: kind for path in paths for name, kind in _sglang_fields(source.tree(path), known)}
        return {name: found.get(name, "") for name in _old("sglang", release)}

    return table


PARSED = {"human_readable_int": "int letters", "json.loads": "json"}
"""Functions that read an option's text -> what they take (srt/utils/common.py)."""
JSON = ("json_model_override_args", "model_loader_extra_config", "kv_events_config")
"""Texts that are read as JSON once the server starts (configs/model_config.py, load_config.py, disaggregation/kv_events.py)."""


def _sglang_fields(tree: ast.Module, known: hints.Names) -> Iterator[tuple[str, str]]:
    for node in (item for group in classes(tree) for item in group.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        call = next((item for item in ast.walk(node.annotation) if isinstance(item, ast.Call)), None)
        words = {item.arg: item.value for item in call.keywords if item.arg} if call else {}
        kind = "json" if node.target.id in JSON else _of_sglang(known.hint(node.annotation), words, known)
        names = (
            [ast.literal_eval(words["cli_name"])] if "cli_name" in words else ["--" + node.target.id.replace("_", "-")]
        )
        names += ast.literal_eval(words["aliases"]) if "aliases" in words else []
        yield from ((name, kind) for name in names)


def _of_sglang(hint: hints.Hint, words: Mapping[str, ast.expr], known: hints.Names) -> str:
    if "type_parser" in words:
        return PARSED.get(ast.unparse(words["type_parser"]), "")
    if {"action", "nargs", "const"} & words.keys():
        return ""
    if "choices" in words:
        listed = words["choices"]
        listed = known.aliases.get(listed.id, listed) if isinstance(listed, ast.Name) else listed
        if not isinstance(listed, ast.List) or not all(isinstance(item, ast.Constant) for item in listed.elts):
            return ""
        return ("many " if hint.each else "") + "in " + " ".join(str(ast.literal_eval(item)) for item in listed.elts)
    return "switch" if hint.types == {"bool"} else hints.words(hint)


def torchtitan() -> Table:
    """The sections of Trainer.Config, each of the class that makes it by default; tyro reads a field as its annotation says."""
    source = lifted.Source("torchtitan", wheel("torchtitan", "0.3.0"))
    folders = ("config", "components", "components/checkpointer", "components/optimizer", "tools", "distributed")
    trees = [
        source.tree(path) for path in ("trainer.py", *(name for folder in folders for name in source.names(folder)))
    ]
    known, classes = hints.names(trees), dict(_nested(trees))
    found = dict.fromkeys((name for name in _old("torchtitan", "0.3.0") if ANY not in name), "")
    found |= {"--hf_assets_path": "text", "--dump_folder": "text"}
    for section, item in fields(classes["Trainer.Config"]).items():
        factory = next((ast.unparse(word.value) for word in getattr(item.value, "keywords", ()) if word.arg == "default_factory"), "")  # fmt: skip
        for name, inner in _inherited(classes, factory).items():
            if f"--{section}.{name}" in found:
                found[f"--{section}.{name}"] = hints.words(known.hint(inner.annotation), hints.bounds(inner.value))
        if factory and not any(name.startswith(f"--{section}.") for name in found):
            found[f"--{section}{ANY}"] = ""  # a registered configuration chooses its class
    return found


def _nested(trees: list[ast.Module]) -> Iterator[tuple[str, ast.ClassDef]]:
    """Classes by name, those inside of others as `Outer.Inner`."""
    for node in (node for tree in trees for node in classes(tree)):
        yield node.name, node
        yield from ((f"{node.name}.{item.name}", item) for item in node.body if isinstance(item, ast.ClassDef))


def _inherited(classes: Mapping[str, ast.ClassDef], name: str) -> dict[str, ast.AnnAssign]:
    node = classes.get(name)
    bases = [ast.unparse(base) for base in node.bases] if node else []
    return {key: item for base in bases for key, item in _inherited(classes, base).items()} | fields(node)


def maxtext() -> Table:
    """The fields of configs/types.py, which pydantic reads."""
    source = lifted.Source("maxtext", wheel("maxtext", "0.2.5"))
    tree = source.tree("configs/types.py")
    known = hints.names([tree])
    found: Table = {}
    for node in classes(tree):
        for name, item in fields(node).items():
            hint = known.hint(item.annotation)
            kind = "bool" if hint.types - {"None"} == {"bool"} else hints.words(hint, hints.bounds(item.value))
            found[name] = hints.loosened(kind)
    return {name: found[name] for name in _old("maxtext", "0.2.5")}


TABLES: Mapping[tuple[str, str], Callable[[], Table]] = {
    ("deepspeed", "0.19.8"): lambda: parser_deepspeed.table("0.19.8"),
    ("megatron", "0.19.2"): megatron,
    ("vllm", "0.33.0"): lambda: parser_vllm.table(_old("vllm", "0.33.0")),
    ("sglang", "0.5.21"): sglang("0.5.21"),
    ("sglang", "0.5.23"): sglang("0.5.23"),
    ("torchtitan", "0.3.0"): torchtitan,
    ("maxtext", "0.2.5"): maxtext,
}


def text(table: Table) -> str:
    return "".join(f"{name} {limited(name, kind)}".rstrip() + "\n" for name, kind in sorted(table.items()))


def path(framework: str, release: str) -> Path:
    return FOLDER / framework / "parser" / f"{release}.txt"


def _old(framework: str, release: str) -> list[str]:
    """Names that the table has: those that a reading of fields alone does not find."""
    return [line.partition(" ")[0] for line in path(framework, release).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    for (name, number), read in TABLES.items():
        path(name, number).write_text(text(read()), encoding="utf-8")
