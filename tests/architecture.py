"""docs/architecture.md: the layers that import-linter holds, each with what its modules say of themselves."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHOLE = "Data flows one way"
"""The contract that lists the layers; the others of that kind order the modules of one layer."""
HEAD = """# Architecture

Data flows one way: what a user declares is read into frozen values, laid out in closed form, costed, checked and written.
Nothing that is compiled knows the clock, the host, the environment or the order of a hash: the same input gives the same bytes.

```
 YAML + overrides                                              compiler/config     Hydra stays here
        |
        v
   specs: frozen dataclasses, which are the schema too          compiler/specs
        |
        v
   degrees -> two rank grids -> groups, stages, experts, slots  compiler/layout, cluster, frameworks -> World
        |
        v
   parameters, memory, time by measured or assumed curves       compiler/costs
        |
        v
   checks and claims                                            compiler/invariants, claims
        |
        v
   Plan: named parts, launched together                         compiler/plan
        |
        v
   files: tables, report, job files, runtime                    compiler/render, report, schedulers, runtime
```

A compile is a tuple of passes over a frozen draft (`compiler/passes.py`): each returns the draft with what it made and what it has
against it, one gate refuses, and somebody may watch between them.

## Where is it?

| question | answer |
|---|---|
| Where is an all-to-all timed? | A MoE layer's two are flows (`experts` of `costs/work/traffic.py`): what is sent, and how often. `costs/comm/timed.py` takes the worst group of each and asks `costs/comm/collectives.py` (`seconds`), which has `algorithms.py` and `links.py` beside it, for one call. Training adds them up in `costs/step.py` (`work`) and `costs/shown.py`, serving in `costs/forward_pass.py` (`stage_pass`) and `costs/stage_time.py`. `costs/comm/dispatch.py` only compares ways to dispatch, for the report. |
| What does a new kind of group need? | A word in `glossary.py` (`Kind`), and the axes that it runs over in `layout/groups.py`. Tables, spans, `show` and the report follow. A framework's own: `kinds` of its adapter. What runs on it: a flow in `costs/work/traffic.py`, and its name where times are added up (CONTRIBUTING.md lists the places). |
| How does a value reach bash? | By the filter `sh` of `render/engine.py`, which quotes whatever is not plain and refuses a NUL; a directive's by `sbatch`. What templates write bare is a number, a word of ours, or a name that was refused by pattern before (`tests/test_bare.py` lists them). The command of a launch never does: `runtime/command.py` starts it from `launch.json` without a shell. YAML has one emitter, `render/yaml.py`. `tests/test_engine.py` reads values back from a real shell. |
| Why are a plan's bytes stable? | Passes take frozen values and return frozen values; input files count by content; floats are cut to the digits that count (`words.figures`); nothing asks for a time, a host or an environment (lint refuses the usual calls, `config/sealed.py` a configuration that does); archives bear no time. `tests/test_determinism.py` compiles in another folder, time zone, language and hash seed, and compares every byte; `tests/golden/` holds whole folders over days and machines. |
| What refuses a plan? | Rules of `invariants/` and of each adapter, all before the one gate of `passes.py`. What their lines offer is compiled first, by `fixes/`. |
| Who reads a plan folder? | `commands/folder.py`, back into the `Layout` (`cluster/layout.py`) that was written. |

## Layers

A module imports from those below it alone, in its own layer too. `pyproject.toml` lists the layers and the order inside of them,
import-linter holds both, and `python -m tests.test_architecture` writes this table from them and from the first sentence of each module.

| layer | module | what it is |
|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(f"| {layer} | `{name}` | {said} |\n" for layer, name, said in rows())


def rows() -> Iterator[tuple[int, str, str]]:
    """Number of the layer from the top, its modules in the order of their imports, and the first sentence of each."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(found["layers"] for found in contracts if found["name"] == WHOLE)
    for number, layer in enumerate(layers, 1):
        for module in layer.split(" : "):
            yield number, module.removeprefix("compiler.").replace(".", "/"), _said(module)


def _said(module: str) -> str:
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())
