"""How DeepSpeed orders ranks, groups, experts and layers.

Sources: runtime/pipe/topology.py (ranks, pipe and data and model groups), utils/groups.py (expert groups),
module_inject/auto_ep_folding.py (AutoEP over AutoTP), runtime/utils.py partition_uniform (layers).
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.errors import ConfigError
from compiler.frameworks.deepspeed import json_args
from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.layout.grid import Axis, Grid, GroupKind, row_major
from compiler.layout.groups import standard
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees


@dataclass(frozen=True)
class Layout:
    """`split`: each expert is split over the tp ranks; `data_first`: DeepSpeed's D + E in the place of E + D.

    `auto`: AutoEP replaces the layers of a Hugging Face model; `strided`: the TP-strided path of an explicit mp_size.
    """

    name: str
    split: bool = False
    data_first: bool = False
    auto: bool = False
    strided: bool = False


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("tensor", split=True),
        Layout("tensor_data_first", split=True, data_first=True),
        Layout("contiguous"),
        Layout("data_first", data_first=True),
        Layout("tp_strided", strided=True),
        Layout("autoep", auto=True),
    )
}
"""The first is the default."""

EP_ORDER = ("edp", "etp", "pp")
EDP_ORDER = ("ep", "etp", "pp")
"""Groups of a stage count along a data-parallel lane first and over tp lanes last, in every one of DeepSpeed's loops."""


def named(config: Config) -> str:
    """Framework and version, as messages cite them."""
    return f"DeepSpeed {version(config).number}"


def chosen(config: Config) -> Layout:
    """The layout that `framework.expert_layout` names. Raises ConfigError for an unknown one."""
    name = config.framework.expert_layout or next(iter(LAYOUTS))
    if name not in LAYOUTS:
        raise ConfigError.of(
            f"framework.expert_layout={name} is not known to deepspeed",
            "write " + " or ".join(f"framework.expert_layout={name}" for name in LAYOUTS),
        )
    return LAYOUTS[name]


def folded(config: Config) -> bool:
    """Whether AutoTP splits the model, which makes a mesh of data and tensor ranks and no pipeline grid."""
    return config.model.moe and chosen(config).auto and config.degrees.tp > 1


def attention_grid(degrees: Degrees) -> Grid:
    """rank = (pipe*DP + data)*MP + model, or data*SP + sequence with Ulysses, which has neither of the others."""
    return row_major((("tp", degrees.tp), ("cp", degrees.cp), ("dp", degrees.adp), ("pp", degrees.pp)))


def expert_grid(config: Config) -> Grid | None:
    """The expert grid of the chosen layout; None where the degrees do not allow it."""
    degrees, layout = config.degrees, chosen(config)
    if degrees.cp > 1 or degrees.etp != (degrees.tp if layout.split and config.model.moe else 1) or not degrees.factors:
        return None
    if layout.strided:
        return _strided(degrees)
    inner = [("ep", degrees.ep), ("edp", degrees.edp)]
    if layout.data_first:
        inner.reverse()
    return row_major([("etp", degrees.etp), *inner, ("pp", degrees.pp)])


def _strided(degrees: Degrees) -> Grid | None:
    """Ranks of a stage are listed tp lane by tp lane and cut into blocks of ep; edp takes one of each block.

    So an axis that outgrows a lane is compound. None where ep and dp don't divide each other: blocks are no grid then.
    """
    tp, dp, ep, pp = degrees.tp, degrees.adp, degrees.ep, degrees.pp
    if dp % ep == 0:
        lane, inside, blocks, pipe = row_major((("edp", tp), ("ep", ep), ("edp", dp // ep), ("pp", pp))).axes
        return Grid((Axis("etp", 1, 1), inside, blocks, lane, pipe))
    if ep % dp == 0:
        lane, blocks, inside, pipe = row_major((("ep", ep // dp), ("edp", degrees.edp), ("ep", dp), ("pp", pp))).axes
        return Grid((Axis("etp", 1, 1), inside, lane, blocks, pipe))
    return None


def group_kinds(config: Config, attention: Grid, expert: Grid) -> dict[str, GroupKind]:
    """The plan's kinds, ep and edp as DeepSpeed counts them, then its own.

    `ds_model` (pipe x model) and `world` come with the pipeline grid, Ulysses has `world` alone; the others with ZeRO++, see json_args.
    """
    found = standard(attention, expert if config.model.moe else None)
    if config.model.moe:
        found["ep"] = expert.kind(("ep",), EP_ORDER)
        found["edp"] = expert.kind(("edp",), EDP_ORDER)
    size = config.degrees.world_size
    if not folded(config):
        if config.degrees.cp == 1:
            found["deepspeed.ds_model"] = attention.kind(("tp", "pp"))
        found["deepspeed.world"] = _blocks(size, size).kind(("inside",))
    secondary = json_args.secondary_partition(config)
    if secondary > 1 and size % secondary == 0:
        found["deepspeed.zero_param"] = _blocks(size, secondary).kind(("inside",))
    if json_args.quantized_gradients(config):
        node = min(config.hardware.node.gpus, size)
        if size % node == 0:
            found["deepspeed.all_to_all_local"] = _blocks(size, node).kind(("inside",))
            found["deepspeed.all_to_all_global"] = _blocks(size, node).kind(("outside",))
    return found


def _blocks(ranks: int, size: int) -> Grid:
    return row_major((("inside", size), ("outside", ranks // size)))


def uniform(layers: int, parts: int) -> list[int]:
    """partition_uniform: the first stages hold one more."""
    base, extra = divmod(layers, parts)
    return [base + (part < extra) for part in range(parts)]
