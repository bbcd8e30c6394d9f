"""Slurm's `topology.yaml`, and what `scontrol show topoconf` prints: a list of topologies, of which one is the cluster's.

topology.yaml(5) of Slurm 26.05. The default is the first with `cluster_default: true`; one that names no node (`flat`) gives
way to the first that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compiler.cluster.inventory import Host
from compiler.cluster.topology.slurm_lines import aggregates
from compiler.cluster.topology.units import Unit, counted, groups, names, tree
from compiler.errors import ConfigError, short
from compiler.inputs.yaml_lines import Item, items

KINDS = ("tree", "block", "ring", "torus3d", "flat")
LISTS = {
    "tree": ("switches", "switch"),
    "block": ("blocks", "block"),
    "ring": ("rings", "ring"),
    "torus3d": ("toruses", "torus"),
}


def read(what: str, text: str) -> tuple[Host, ...]:
    """Raises ConfigError with the line that is wrong."""
    topologies = items(what, text)
    for item in topologies:
        _kind(what, item)
    naming = [item for item in topologies if _kind(what, item) != "flat"]
    default = [item for item in naming if item.text("cluster_default").lower() in ("true", "yes", "on")]
    if not naming:
        line = topologies[0].line if topologies else 1
        raise ConfigError.of(
            f"{what} line {line}: no topology names a node{', a flat one has none' if topologies else ''}",
            "write a topology with tree, block, ring or torus3d, or hardware.inventory=null hardware.fabric.kind=flat",
        )
    chosen = (default or naming)[0]
    kind = _kind(what, chosen)
    return _READERS[kind](what, chosen.child(kind))


def _kind(what: str, item: Item) -> str:
    found = [kind for kind in KINDS if item.has(kind)]
    if len(found) != 1:
        name = item.text("topology") or "without a name"
        raise ConfigError.of(
            f"{what} line {item.line}: topology {short(name)} has {' and '.join(found) or 'no kind'}",
            f"write one of {', '.join(KINDS)}",
        )
    return found[0]


def _units(what: str, kind: str, item: Item) -> list[Unit]:
    """Switches, blocks, rings or toruses."""
    plural, word = LISTS[kind]
    return counted(what, (_unit(what, word, each) for each in item.list(plural)))


def _unit(what: str, word: str, each: Item) -> Unit:
    name = each.text(word) or each.text("name")
    if not name or not name.isprintable():
        raise ConfigError.of(f"{what} line {each.line}: a {word} without a name", f"write {word}: NAME")
    return Unit(name, each.line, _names(what, each, "nodes"), _names(what, each, "children"), word)


def _names(what: str, item: Item, key: str) -> tuple[str, ...]:
    """A host list, or a YAML list of them."""
    return tuple(name for line, text in item.texts(key) for name in names(what, line, key, text))


def _tree(what: str, item: Item) -> tuple[Host, ...]:
    return tree(what, _units(what, "tree", item))


def _blocks(what: str, item: Item) -> tuple[Host, ...]:
    units = _units(what, "block", item)
    sizes = item.texts("block_sizes")
    line = sizes[0][0] if sizes else item.line
    within = aggregates(what, line, [size for _, size in sizes], [unit.name for unit in units]) if sizes else {}
    return groups(what, units, lambda name: within.get(name, ""))


def _rings(what: str, item: Item) -> tuple[Host, ...]:
    return groups(what, _units(what, "ring", item))


def _toruses(what: str, item: Item) -> tuple[Host, ...]:
    return groups(what, counted(what, (unit for each in item.list("toruses") for unit in _torus(what, each))))


def _torus(what: str, each: Item) -> Iterator[Unit]:
    """A torus, or its regions, each with as many nodes as it has places."""
    name = each.text("torus") or each.text("name")
    for number, part in enumerate(each.list("regions")):
        nodes = _names(what, part, "nodes")
        _refuse_holes(what, part, nodes)
        yield Unit(f"{name}.{number}", part.line, nodes, (), "region")
    if not each.has("regions"):
        unit = _unit(what, "torus", each)
        _refuse_holes(what, each, unit.nodes)
        yield unit


def _refuse_holes(what: str, item: Item, nodes: tuple[str, ...]) -> None:
    sizes = item.child("dims") if item.has("dims") else item
    axes = [sizes.text(axis) for axis in "xyz"]
    if all(axis.isdecimal() and len(axis) < 10 for axis in axes):
        places = int(axes[0]) * int(axes[1]) * int(axes[2])
        if places != len(nodes):
            raise ConfigError.of(
                f"{what} line {item.line}: {'x'.join(axes)} = {places} places and {len(nodes)} nodes",
                "name a node for each place",
            )


_READERS: dict[str, Callable[[str, Item], tuple[Host, ...]]] = {
    "tree": _tree,
    "block": _blocks,
    "ring": _rings,
    "torus3d": _toruses,
}
