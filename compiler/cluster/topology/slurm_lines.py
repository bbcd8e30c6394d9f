"""Slurm's `topology.conf`, and what `scontrol show topology` prints of it: `Key=value` words, a unit a line.

topology.conf(5) and the print functions of src/plugins/topology/{tree,block,ring,torus3d} of Slurm 26.05. The output differs
from the file: switches have a Level, and those above leaves list the nodes below them too; blocks are followed by those that
they make together (AggregatedBlock); a torus has a line for each shape that jobs can have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from compiler.cluster.inventory import Host
from compiler.cluster.topology.units import Unit, counted, groups, names, tree
from compiler.errors import ConfigError, short
from compiler.frozen import dataclass

FIRST = ("switchname", "blockname", "ringname", "torusname", "aggregatedblock", "blocksizes")
KEYWORD = re.compile(rf"({'|'.join((*FIRST, 'include'))})\s*=?", re.IGNORECASE)
WORDS = {"switchname": "switch", "blockname": "block", "ringname": "ring", "torusname": "torus"}


@dataclass(frozen=True)
class Row:
    """A line's number and its words, keys in small letters."""

    line: int
    values: dict[str, str]

    @property
    def first(self) -> str:
        return next(iter(self.values))


def read(what: str, text: str) -> tuple[Host, ...]:
    """Raises ConfigError with the line that is wrong."""
    rows = list(_rows(what, text))
    declaring = [row for row in rows if row.first in WORDS and "placementdims" not in row.values]
    units = counted(what, (_unit(what, row) for row in declaring))
    _refuse_mixed(what, units)
    switches = [unit for unit in units if unit.word == "switch"]
    others = [unit for unit in units if unit.word != "switch"]
    grouped = groups(what, others, _aggregates(what, rows, [unit.name for unit in others])) if others else ()
    if others and not switches:
        return grouped
    _refuse_unplaced(what, declaring, units)
    racks = {host.host: host.rack for host in grouped}
    return tuple(replace(host, rack=racks.get(host.host, host.rack)) for host in tree(what, switches))


def _refuse_mixed(what: str, units: Sequence[Unit]) -> None:
    """Switches and blocks may stand in one file: Slurm uses one of them, and the blocks are the racks of the tree."""
    kinds = list(dict.fromkeys(unit.word for unit in units))
    if len(kinds) > 1 and set(kinds) != {"switch", "block"}:
        line = next(unit.line for unit in units if unit.word == kinds[1])
        raise ConfigError.of(
            f"{what} line {line}: a {kinds[1]} in a topology of {kinds[0]}s", "write one kind of topology"
        )


def _rows(what: str, text: str) -> Iterator[Row]:
    number, pending = 0, ""
    for number, written in enumerate(text.split("\n"), start=1):
        line = pending + re.sub(r"#.*", "", written).rstrip()
        if line.endswith("\\"):
            pending = line[:-1] + " "
            continue
        pending = ""
        if line.strip():
            yield Row(number, _words(what, number, line))
    if pending.strip():
        raise ConfigError.of(f"{what} line {number}: the line goes on after a \\, and there is none", "end it there")


def _words(what: str, number: int, line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    joined = re.sub(r"\s*=\s*(?!\w+\s*=)", "=", line.strip())  # but not to the next key, where there is no value
    for word in joined.split():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError.of(f"{what} line {number}: '{short(word)}' is no key=value of Slurm", "write Key=Value")
        if key.lower() in found:
            raise ConfigError.of(f"{what} line {number}: {key} stands twice", "write it once")
        found[key.lower()] = value.strip('"')
    if next(iter(found)) not in FIRST:
        raise ConfigError.of(
            f"{what} line {number} begins with {short(next(iter(found)))}, which declares no part of a topology",
            "begin it with SwitchName=, BlockName=, RingName= or BlockSizes=, and put what is included in this file",
        )
    return found


def _unit(what: str, row: Row) -> Unit:
    name, word = row.values[row.first], WORDS[row.first]
    if not name or not name.isprintable():
        raise ConfigError.of(f"{what} line {row.line}: a {word} without a name", "write its name")
    switches = row.values.get("switches", "")
    children = names(what, row.line, "Switches", switches) if switches else ()
    printed = children and "level" in row.values  # and then its nodes are those of the leaves below it
    return Unit(name, row.line, () if printed else _nodes(what, row), children, word)


def _nodes(what: str, row: Row) -> tuple[str, ...]:
    listed = row.values.get("nodes", "")
    return names(what, row.line, "Nodes", listed) if listed else ()


def _refuse_unplaced(what: str, rows: Sequence[Row], units: Sequence[Unit]) -> None:
    """What a printed switch, or a block beside switches, has must hang on a leaf."""
    placed = {node for unit in units if unit.word == "switch" for node in unit.nodes}
    listed = (replace(unit, nodes=_nodes(what, row), children=()) for row, unit in zip(rows, units, strict=True))
    for row, unit in zip(rows, counted(what, listed), strict=True):
        missing = [node for node in unit.nodes if node not in placed]
        if missing:
            raise ConfigError.of(
                f"{what} line {row.line}: node {short(missing[0])} of {unit.word} {short(unit.name)} hangs on no leaf",
                "list the leaf that it hangs on too",
            )


def _aggregates(what: str, rows: Sequence[Row], blocks: Sequence[str]) -> Callable[[str], str]:
    """Block -> the largest block that it is a part of, as it is declared by sizes or printed in ascending size."""
    found: dict[str, str] = {}
    for row in rows:
        if row.first == "aggregatedblock":
            name = row.values[row.first]
            found |= dict.fromkeys(names(what, row.line, "AggregatedBlock", name), name)
        if row.first == "blocksizes":
            found |= aggregates(what, row.line, row.values[row.first].split(","), blocks)
    return lambda block: found.get(block, "")


def aggregates(what: str, line: int, written: Sequence[str], blocks: Sequence[str]) -> dict[str, str]:
    """Block -> name of the largest aggregate that it is in, of so many blocks in a row; raises ConfigError for sizes of no kind."""
    sizes = [int(size) if size.isdecimal() else 0 for size in written]
    base = sizes[0] if sizes else 0
    factors = [size // base if base > 0 and size % base == 0 else 0 for size in sizes]
    if not factors or any(factor < 1 or factor & (factor - 1) for factor in factors):
        raise ConfigError.of(
            f"{what} line {line}: block sizes {short(','.join(written)) or 'of no number'} are not the first one times powers of two",
            "write sizes such as 18,36,72",
        )
    most = max(factors)
    if most == 1:
        return {}
    runs = [blocks[start : start + most] for start in range(0, len(blocks), most)]
    return {block: "-".join(dict.fromkeys((run[0], run[-1]))) for run in runs for block in run}
