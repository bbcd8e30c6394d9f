"""What each framework can be asked for, found out by asking its adapter: the table of docs/frameworks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from compiler.errors import ConfigError
from compiler.frameworks import adapter as adapters
from compiler.frameworks.adapter import Adapter, adapter
from compiler.frameworks.lay_out import lay_out
from compiler.layout.grid import Grid
from compiler.specs.config import Config
from tests.configs import changed, composed

ORDERS = ("tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp", "dp-tp-cp-ep-pp")
SCHEDULES = ("1f1b", "interleaved", "zero_bubble", "dualpipe")
LAYOUTS = "linear contiguous round_robin trivial tensor tensor_data_first data_first tp_strided autoep".split()
ARGUMENTS = {"sglang": ["--cp-strategy=zigzag"]}
"""What a framework must be told by the user before it accepts a feature."""

LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}
MODELS: dict[str, dict[str, Any]] = {"vllm": {f"model.{key}": value for key, value in LATENT.items()}}
"""What a model must have before a framework accepts a feature: vLLM's prefill context parallelism wants latent attention."""

PLACEMENTS = {"deepspeed": (None, "contiguous", "autoep")}
"""Expert layouts that differ in the degrees that they allow."""

ODD_LAYERS, ODD_STAGES, ODD_VOCABULARY = 18, 4, 32001


@dataclass(frozen=True)
class Framework:
    """A framework, and what it accepts of a few hundred small plans of one MoE model."""

    name: str
    rules: Adapter
    plans: tuple[Config, ...]

    def any(self, holds: Callable[[Config], bool]) -> bool:
        return any(holds(plan) for plan in self.plans)


def refused(config: Config) -> bool:
    """Whether the degrees do not multiply, or the framework refuses."""
    if not config.degrees.factors:
        return True
    try:
        return any(item.status == "fail" for item in adapter(config.framework.name).declared(config))
    except ConfigError:
        return True


@cache
def framework(name: str) -> Framework:
    return Framework(name, adapter(name), tuple(plan for plan in drawn(name) if not refused(plan)))


def drawn(name: str) -> Iterator[Config]:
    """Every combination of small degrees, trained and served."""
    base = changed(
        composed(f"framework={name}", "workload=train", "hardware=h100_80gb"),
        {
            "framework.args": ARGUMENTS.get(name, []),
            "model.gated_mlp": True,
            "model.vocab_size": 32768,
            "hardware.node.gpus": 1,
            "hardware.nodes": 64,
            **MODELS.get(name, {}),
        },
    )
    serve = changed(base, {"workload": composed("workload=serve", "hardware=h100_80gb").workload})
    for tp, cp, pp, vpp, adp, ep, etp in product(*[(1, 2)] * 5, *[(1, 2, 4, 8)] * 2):
        degrees = {"tp": tp, "cp": cp, "pp": pp, "vpp": vpp, "adp": adp, "ep": ep, "etp": etp, "dp": None}
        values: dict[str, Any] = {f"parallel.{key}": value for key, value in degrees.items()}
        if vpp > pp:
            continue
        values["workload.schedule"] = "interleaved" if vpp > 1 else "1f1b"
        for kind, sequence in ((base, None), (base, False), (serve, None)):
            for layout in PLACEMENTS.get(name, (None,)):
                more = {"workload.sequence_parallel": sequence, "framework.expert_layout": layout}
                yield changed(kind, {**values, **more})


def axes(grid: Grid) -> str:
    """Axes from the fastest to the slowest; those of one run that is cut by another are named twice."""
    return " ".join(axis.axis for axis in sorted(grid.axes, key=lambda axis: axis.stride) if axis.size > 1)


def order(found: Framework, which: int) -> str:
    """Of the accepted plan with the most axes that are real."""
    plans = [plan for plan in found.plans if plan.framework.expert_layout is None]
    texts = [axes(found.rules.grids(plan)[which]) for plan in plans]
    return max(texts, key=lambda text: (len(text.split()), "ep" in text.split()))


def words(key: str, values: tuple[str, ...] | list[str], plans: list[Config]) -> str:
    """Which values of a key some of these accepted plans may have."""
    good = [value for value in values if any(not refused(changed(plan, {key: value})) for plan in plans[:200])]
    return ", ".join(good) or "none"


def orders(found: Framework) -> str:
    """Of plans that every order lays out otherwise, where there are any."""
    plans = [plan for plan in found.plans if plan.degrees.pp > 1]
    distinct = [plan for plan in plans if min(plan.degrees.tp, plan.degrees.adp) > 1]
    return words("parallel.order", ORDERS, distinct or plans)


def schedules(found: Framework) -> str:
    return words("workload.schedule", SCHEDULES, [p for p in found.plans if p.degrees.pp > 1 and p.workload.train])


def layouts(found: Framework) -> str:
    plans = [changed(plan, {"framework.expert_layout": None}) for plan in found.plans if plan.degrees.ep > 1]
    return words("framework.expert_layout", LAYOUTS, plans)


def stages(found: Framework) -> str:
    """How 18 layers land on 4 stages."""
    piped = next(plan for plan in found.plans if plan.degrees.pp == 2 and plan.degrees.vpp == 1)
    plan = changed(piped, {"parallel.pp": ODD_STAGES, "model.num_hidden_layers": ODD_LAYERS})
    counts = found.rules.uneven_stages(plan, ODD_STAGES)
    if counts is not None:
        return " ".join(map(str, counts))
    return "refused" if refused(changed(plan, {"parallel.stages": [4, 5, 5, 4]})) else "as `parallel.stages` says"


def vocabulary(found: Framework) -> str:
    plan = next(plan for plan in found.plans if plan.degrees.tp == 2)
    return f"{found.rules.padded_vocab_size(changed(plan, {'model.vocab_size': ODD_VOCABULARY})):,}"


def own_groups(found: Framework) -> str:
    """Its groups beside the plan's, over all accepted plans."""
    names: dict[str, None] = {}
    for plan in found.plans[::7]:
        names |= dict.fromkeys(kind.partition(".")[2] for kind in found.rules.kinds(plan, *found.rules.grids(plan)))
    return " ".join(name for name in names if name) or "none"


def starts(found: Framework) -> str:
    """The program, and what starts it."""
    train = found.any(lambda plan: plan.workload.train)
    plan = next(plan for plan in found.plans if plan.workload.train == train)
    made = found.rules.emission(lay_out(changed(plan, {"parallel.stages": None})))
    program = " ".join(str(word) for word in made.program[:3]) or "launch.command"
    return f"`{program}`, one a {made.unit}"


def files(found: Framework) -> str:
    names = {item.path for plan in found.plans[::7] for item in found.rules.emission(lay_out(plan)).files}
    return " ".join(sorted(name.removeprefix("framework/") for name in names)) or "none"


def versions(found: Framework) -> str:
    path = Path(adapters.__file__).with_name(found.name) / "versions.yaml"
    if not path.is_file():
        return ""
    table = yaml.safe_load(path.read_text())
    first, last = table["ranges"][-1]["from"], table["ranges"][0]["until"]
    return f"{first} to below {last}, tested with {table['tested']}"


ROWS: Mapping[str, Callable[[Framework], object]] = {
    "versions": versions,
    "trains": lambda found: found.any(lambda plan: plan.workload.train),
    "serves": lambda found: found.any(lambda plan: not plan.workload.train),
    "attention ranks, fastest axis first": lambda found: order(found, 0),
    "expert ranks, fastest axis first": lambda found: order(found, 1),
    "`parallel.order`": orders,
    "pipeline": lambda found: found.any(lambda plan: plan.degrees.pp > 1),
    "virtual stages": lambda found: found.any(lambda plan: plan.degrees.vpp > 1),
    "`workload.schedule`": schedules,
    "context parallelism": lambda found: found.any(lambda plan: plan.degrees.cp > 1),
    "attention DP beside tp": lambda found: found.any(lambda plan: plan.degrees.adp > 1 and plan.degrees.tp > 1),
    "ep inside attention DP (ep divides adp)": lambda found: found.any(
        lambda plan: plan.degrees.ep > 1 and plan.degrees.adp % plan.degrees.ep == 0
    ),
    "ep folded over tp (ep above adp)": lambda found: found.any(lambda plan: plan.degrees.ep > plan.degrees.adp),
    "experts cut (etp above 1, with ep)": lambda found: found.any(lambda p: p.degrees.ep > 1 and p.degrees.etp > 1),
    "experts whole beside tp (etp 1, with ep)": lambda found: found.any(
        lambda p: p.degrees.ep > 1 and p.degrees.tp > 1 and p.degrees.etp == 1
    ),
    "copies of experts (edp above 1)": lambda found: found.any(lambda plan: plan.degrees.edp > 1),
    "`framework.expert_layout`": layouts,
    f"{ODD_LAYERS} layers on {ODD_STAGES} stages": stages,
    f"{ODD_VOCABULARY:,} rows of vocabulary on tp 2": vocabulary,
    "groups of its own": own_groups,
    "started as": starts,
    "files in `framework/`": files,
}


def table() -> str:
    """The whole document."""
    found = [framework(name) for name in adapters.names()]
    head = "| | " + " | ".join(item.name for item in found) + " |\n|" + "---|" * (len(found) + 1) + "\n"
    lines = [
        "| ".join(("", f"{row} ", *(f"{_said(ask(item))} " for item in found))) + "|\n" for row, ask in ROWS.items()
    ]
    return INTRODUCTION + head + "".join(lines)


def _said(answer: object) -> str:
    return {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else str(answer)


INTRODUCTION = """# Frameworks

What each framework can be asked for. `python -m tests.test_features` writes this page by asking the adapters in
`compiler/frameworks/` about some thousand small plans of one MoE model: *yes* means that some plan with the feature is
accepted. A plan that a framework cannot express is refused with what it can, and `python -m compiler.prove` holds an
accepted one against the framework itself.

"""
