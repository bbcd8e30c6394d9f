"""What the old run saved, and whether the new plan can load it: by the rules of its framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.diff.side import Part, Side
from compiler.diff.topic import Topic, differing, pairs, said
from compiler.diff.verdict import Change, Verdict
from compiler.frameworks.checkpoints import Rule, checkpoints

DEGREES = ("tp", "cp", "pp", "vpp", "ep", "etp")
KEYS = {
    "zero_stage": "workload.zero_stage",
    "distributed_optimizer": "workload.distributed_optimizer",
    "optimizer": "workload.optimizer",
    "states": "workload.states",
}

FROM_OTHERS = ("dp_cp", "ranks")
"""What always follows from degrees, and is worth a word only where it matters."""

FOLLOWS = {
    "stages": (("pp", "vpp"), "model.num_hidden_layers"),
    "experts": (("ep",), "model.num_experts"),
    "vocab": ((), "model.vocab_size"),
}
"""What differs where one of these degrees, or this key, does."""


def changes(old: Side, new: Side) -> Iterator[Change]:
    """A change for each word of `frameworks.checkpoints.CHANGES` that differs; none of a server, which saves nothing."""
    for before, one, other in pairs(old, new):
        if one.trains and other.trains and one.framework == other.framework:
            for what, was, becomes in differing(dict(_held(one)), dict(_held(other))):
                verdict, why = _judged(what, one, other)
                if not (_follows(what, one, other) or (what in FROM_OTHERS and verdict is Verdict.RESTART)):
                    yield Change("checkpoint", f"{before}{what}", said(was), said(becomes), verdict, why)


def _held(part: Part) -> Iterator[tuple[str, Any]]:
    """What a checkpoint may depend on."""
    contents, degrees = part.plan.contents, part.plan.contents["degrees"]
    yield from ((degree, degrees[degree]) for degree in DEGREES)
    yield "dp", degrees["adp"]
    yield "dp_cp", degrees["adp"] * degrees["cp"]
    yield "ranks", contents["world_size"]
    yield "order", contents["order"]
    yield "stages", part.plan.stages.labels
    yield "experts", [part.plan.experts.label(part.plan.experts.stages.index(True), ep) for ep in _moe(part)]
    yield "vocab", contents.get("padded_vocab_size")
    for word, key in KEYS.items():
        yield word, _below(part.settings, key)


def _moe(part: Part) -> range:
    """Expert-parallel ranks, where there are experts."""
    return range(len(part.plan.experts.blocks))


def _below(settings: Mapping[str, Any], key: str) -> Any:
    """A key's value, or those of the keys below it."""
    found = {path.removeprefix(f"{key}."): value for path, value in settings.items() if path.startswith(f"{key}.")}
    found.pop("gradients", None)  # no checkpoint has them
    return found or settings.get(key)


def _follows(what: str, old: Part, new: Part) -> bool:
    """Whether it differs only because something else does, which is told: a degree, or the model."""
    degrees, key = FOLLOWS.get(what, ((), ""))
    one, other = (part.plan.contents["degrees"] for part in (old, new))
    return any(one[degree] != other[degree] for degree in degrees) or old.settings.get(key) != new.settings.get(key)


def _judged(what: str, old: Part, new: Part) -> tuple[Verdict, str]:
    rules = checkpoints(old.framework)
    rule = rules.rule(what, old.run)
    if rule is None:
        return Verdict.BREAKS, "no rule says that a checkpoint survives it"
    verdict, means = _decided(rule, old, new)
    return verdict, f"{means}{rule.because} ({rules.read})"


def _decided(rule: Rule, old: Part, new: Part) -> tuple[Verdict, str]:
    """The verdict, and what it takes to resume."""
    if rule.resumes is not None:
        return (Verdict.RESTART if rule.resumes == "always" else Verdict.BREAKS), ""
    if rule.saved_with and not any(old.run.says(option, value=True) for option in rule.saved_with):
        wanted = " or ".join(rule.saved_with)
        return Verdict.BREAKS, f"the old run does not save {rule.format}, as {wanted} makes it: "
    missing = [(option, value) for option, value in rule.told.items() if not new.run.says(option, value)]
    if missing:
        wanted = " ".join(option if value is True else f"{option}={value}" for option, value in missing)
        then = f", and then {rule.then}" * bool(rule.then)
        return Verdict.BREAKS, f"it resumes from {rule.format} with {wanted} alone{then}: "
    if rule.then:
        return Verdict.TRAINS, f"it resumes from {rule.format}, and {rule.then}: "
    return Verdict.RESHARD, f"it resumes from {rule.format}: "


TOPIC = Topic("checkpoint", 2, "checkpoints", changes)
