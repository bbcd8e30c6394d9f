"""TensorRT-LLM's order of ranks (`tensorrt_llm/mapping.py`), in the plan's axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.layout.experts import ExpertBlocks, placed
from compiler.layout.grid import Grid, GroupKind, row_major
from compiler.layout.stages import Stages
from compiler.specs.config import Config


@dataclass(frozen=True)
class Sizes:
    """TensorRT-LLM's own degrees. With attention DP, `tp` ranks each run the whole attention, and dp_size is tp."""

    tp: int
    cp: int
    pp: int
    moe_tp: int
    moe_ep: int
    attention_dp: bool


def sizes(config: Config) -> Sizes | None:
    """The plan in its degrees; None where it has no such plan.

    A world is tp*cp*pp. Attention DP is all or nothing: as wide as tp, and then no attention is cut by tp.
    Experts are cut over tp*cp (Helix) or tp; there are no replicas of them in an instance.
    """
    degrees, moe = config.degrees, config.model.moe
    if degrees.vpp > 1 or (degrees.tp > 1 and degrees.adp > 1):
        return None
    if (moe and (degrees.edp > 1 or not degrees.factors or split_block(config))) or (not moe and degrees.adp > 1):
        return None
    return Sizes(
        tp=degrees.tp * degrees.adp,
        cp=degrees.cp,
        pp=degrees.pp,
        moe_tp=degrees.etp if moe else degrees.tp,
        moe_ep=degrees.ep,
        attention_dp=degrees.adp > 1,
    )


def split_block(config: Config) -> bool:
    """Experts with Ulysses: they are cut by tp alone, and the groups that mapping.py then makes don't cover the world."""
    return config.model.moe and config.degrees.cp > 1 and version(config).facts["cp_type"] == "ULYSSES"


def grids(config: Config) -> tuple[Grid, Grid] | None:
    """Attention: cp and tp (or dp, in its place), the faster one by version, then pp. Experts: ep, then tp, then pp."""
    if sizes(config) is None:
        return None
    degrees = config.degrees
    cp, block = ("cp", degrees.cp), [("tp", degrees.tp), ("dp", degrees.adp)]
    stage = [cp, *block] if version(config).facts["cp_fastest"] else [*block, cp]
    experts = [("ep", degrees.ep), ("etp", degrees.etp), ("edp", degrees.edp)]
    return row_major([*stage, ("pp", degrees.pp)]), row_major([*experts, ("pp", degrees.pp)])


def kinds(config: Config, attention: Grid, expert: Grid) -> dict[str, GroupKind]:
    """Its communicators. Its tp runs over the ranks of attention DP too; clusters of experts are not planned."""
    found = {"tp": attention.kind(("tp", "dp")), "cp": attention.kind(("cp",)), "pp": attention.kind(("pp",))}
    if config.model.moe:
        found |= {"moe_tp": expert.kind(("etp",)), "moe_ep": expert.kind(("ep",))}
    return {f"tensorrt_llm.{name}": kind for name, kind in found.items()} if sizes(config) else {}


def stages(layers: int, parts: int) -> Sequence[int]:
    """torch.tensor_split: what is left over goes to the first stages, one layer each."""
    base, extra = divmod(layers, parts)
    return [base + (part < extra) for part in range(parts)]


def slots(config: Config, redundant: int, blocks: Stages) -> ExpertBlocks:
    """Where a load balancer has slots to spare each rank goes on beyond its own run of experts
    (`modules/fused_moe/moe_load_balancer.py`).
    """
    experts, ep = config.model.num_experts, config.degrees.ep
    share = (experts + redundant) // ep
    ids = (sorted({(rank * experts // ep + slot) % experts for slot in range(share)}) for rank in range(ep))
    return replace(placed(ids, config.model.moe_layers, blocks), redundant=redundant)
