"""Keys of the configuration that differ, and what of them changes the training itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from compiler.diff.options import options
from compiler.diff.side import Part, Side
from compiler.diff.topic import Topic, differing, said, sides
from compiler.diff.verdict import Change, Verdict, change
from compiler.frameworks.checkpoints import Checkpoints, checkpoints


def _keys(group: str, words: str) -> tuple[str, ...]:
    return tuple(f"{group}.{word}" for word in words.split())


COMPUTES = (
    *_keys("workload", "global_batch_size sequence_length precision wide_layers states.gradients fused_accumulation"),
    *_keys("model", "rms_norm_eps layer_norm_epsilon hidden_act swiglu_limit attention_dropout hidden_dropout"),
    *_keys("model", "max_position_embeddings rope_theta rope_scaling partial_rotary_factor no_rope_layers"),
    *_keys(
        "model", "sliding_window layer_types attention_chunk_size index_topk num_experts_per_tok n_group topk_group"
    ),
    *_keys("model", "scoring_func norm_topk_prob routed_scaling_factor scale_expert_inputs router_jitter_noise"),
    *_keys("model", "router_aux_loss_coef seq_aux"),
)
"""Keys of training by which other numbers come out of the same weights."""

ESTIMATES = (
    *_keys("model", "name declared assumed hf_config"),
    *_keys("workload", "assumed tokens gpu_mtbf_s checkpoint_s checkpoint_interval_s restart_s"),
    *_keys("workload", "imbalance imbalance_exponent draft_acceptance prefix_share"),
    "launch.time_limit",
)
"""Keys of the groups below that only what is printed depends on."""

MACHINES = _keys("hardware", "name gpu.name")
"""Keys that say on which machines."""

RUNS = ("parallel", "model", "workload", "framework", "launch")
"""Groups that say what runs. What others say is seen in the launch files, or is an estimate."""

IN_CHECKPOINT = (*_keys("workload", "zero_stage distributed_optimizer states optimizer"), "model.dtype")
"""Keys that the topic of checkpoints speaks of."""


def changes(old: Side, new: Side) -> Iterator[Change]:
    """A change for each key, and one for each option of `framework.args`."""
    yield from _schedulers(old, new)
    for key, before, after in differing(old.settings, new.settings):
        if key in ("framework.args", "launch.command"):
            yield from _options(old, key, before, after)
        else:
            verdict, why = _judged(old, key, (before, after))
            yield replace(change("settings", key, sides(before, after), verdict), why=why)
    if set(old.parts) != set(new.parts):
        names = [" and ".join(filter(None, side.parts)) or "one plan" for side in (old, new)]
        yield change("settings", "pools", names, Verdict.RESTART)


def _schedulers(old: Side, new: Side) -> Iterator[Change]:
    """Targets that come and go; their files say what that means."""
    names = [
        list(dict.fromkeys(key.split(".")[1] for key in side.settings if key.startswith("scheduler.")))
        for side in (old, new)
    ]
    if names[0] != names[1]:
        yield change("settings", "scheduler", map(said, names))


def _judged(old: Side, key: str, values: tuple[Any, Any]) -> tuple[Verdict, str]:
    group = key.partition(".")[0]
    if key in MACHINES:
        return Verdict.RESTART, "it runs on other machines"
    if group not in RUNS or _below(key, ESTIMATES):
        return Verdict.COSMETIC, ""
    return _trained(group, key, values) if _trains(old) else (Verdict.RESTART, "")


def _trained(group: str, key: str, values: tuple[Any, Any]) -> tuple[Verdict, str]:
    """Of a training run, where only `COMPUTES` and the model say more than that it starts again."""
    if key == "framework.name":
        return Verdict.BREAKS, "another framework does not read what it saved"
    if key == "workload.kind":
        return Verdict.BREAKS, "a server resumes no training"
    if key == "workload.dispatch" and "capacity" in values:
        return Verdict.TRAINS, "with a capacity some tokens are dropped"
    if _below(key, COMPUTES):
        return Verdict.TRAINS, ""
    if group == "model" and not _below(key, (*IN_CHECKPOINT, "model.initializer_range")):
        return Verdict.BREAKS, "the model has other weights"
    return Verdict.RESTART, ""


def _below(key: str, keys: tuple[str, ...]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in keys)


def _trains(side: Side) -> bool:
    return any(part.trains for part in side.parts.values())


def _options(old: Side, key: str, before: Any, after: Any) -> Iterator[Change]:
    """Options that differ; those that say how the model is trained say so."""
    given = [options(map(str, value)) if isinstance(value, list) else {} for value in (before, after)]
    part: Part = next(iter(old.parts.values()))
    rules = checkpoints(part.framework)
    found = list(differing(*given))
    for option, one, other in found:
        verdict = _of_option(rules, option) if part.trains else Verdict.RESTART
        yield Change("settings", f"{key} {option}", said(one), said(other), verdict)
    if not found:
        yield Change("settings", key, said(before), said(after), Verdict.RESTART)


def _of_option(rules: Checkpoints, option: str) -> Verdict:
    if rules.matches(rules.breaks, option):
        return Verdict.BREAKS
    return Verdict.TRAINS if rules.matches(rules.trains, option) else Verdict.RESTART


TOPIC = Topic("settings", 1, "configuration", changes)
