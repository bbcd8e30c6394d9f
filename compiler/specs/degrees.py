"""Parallel degrees: as a user writes them, and resolved against a model."""

from __future__ import annotations

import re
from typing import Optional

from compiler.errors import ConfigError, Problem, short
from compiler.frozen import dataclass
from compiler.specs.fields import between, numbers
from compiler.specs.limits import LAYERS, RANKS

WRITTEN = ("ep", "etp", "tp", "cp", "pp", "vpp", "dp", "adp")
"""Degrees in the order of a canonical name."""

DEFAULT_ORDER = "tp-cp-ep-dp-pp"
_PART = re.compile(r"([a-z]+)0*([0-9]+)")
_DIGITS = 20
"""Digits of a degree that are read; as many are too large by far."""


@dataclass(frozen=True)
class Parallel:
    """Degrees as written; what is not written is None (resolved later) or 1."""

    tp: int = between(1, RANKS, 1)
    """Tensor parallelism: ranks that share each matrix of attention and dense layers."""
    cp: int = between(1, RANKS, 1)
    """Context parallelism: ranks that share each sequence."""
    pp: int = between(1, LAYERS, 1)
    """Pipeline parallelism: stages of layers."""
    vpp: int = between(1, LAYERS, 1)
    """Virtual stages (chunks) of each pipeline rank."""
    ep: int = between(1, RANKS, 1)
    """Expert parallelism: ranks that the experts of a layer are spread over."""
    etp: Optional[int] = between(1, RANKS, None)
    """Tensor parallelism of experts; that of `tp` where it is null, 1 without experts."""
    dp: Optional[int] = between(1, RANKS, None)
    """Data parallelism with ep as a factor of its own: attention data parallelism is ep x dp. Excludes `adp`."""
    adp: Optional[int] = between(1, RANKS, None)
    """Attention data parallelism itself, ep folded into it. Excludes `dp`."""
    order: str = DEFAULT_ORDER
    """Axes from the fastest on; a framework may have one of its own."""
    stages: Optional[list[int]] = numbers(0, LAYERS, LAYERS, None)
    """Layers of each stage, of each chunk in order with vpp; even, or by the framework's own rule, where it is null."""


@dataclass(frozen=True)
class Degrees:
    """Every axis's degree. The two grids hold the same ranks: tp*cp*adp*pp = etp*ep*edp*pp.

    `adp` sizes the axis `dp`. `moe` says whether experts exist: without them `etp` is 1 and unnamed.
    """

    tp: int
    cp: int
    pp: int
    vpp: int
    ep: int
    etp: int
    adp: int
    moe: bool = True

    @property
    def world_size(self) -> int:
        return self.tp * self.cp * self.adp * self.pp

    @property
    def edp(self) -> int:
        """Expert data parallelism; exact only where `factors` holds."""
        return self.tp * self.cp * self.adp // (self.etp * self.ep)

    @property
    def factors(self) -> bool:
        """Whether the expert grid covers exactly the ranks of the attention grid."""
        return self.tp * self.cp * self.adp % (self.etp * self.ep) == 0

    @property
    def dp(self) -> Optional[int]:
        """Data parallelism with ep as a factor of its own; None where ep does not divide adp."""
        return self.adp // self.ep if self.adp % self.ep == 0 else None

    @property
    def name(self) -> str:
        """The canonical name: made from the values, never from a spelling."""
        shown = {"ep": self.ep, "tp": self.tp, "cp": self.cp, "pp": self.pp, "vpp": self.vpp}
        parts = [f"{key}{value}" for key, value in shown.items() if value > 1]
        if self.etp != (self.tp if self.moe else 1):
            parts.insert(1 if self.ep > 1 else 0, f"etp{self.etp}")
        if self.dp is None:
            parts.append(f"adp{self.adp}")
        elif self.dp > 1:
            parts.append(f"dp{self.dp}")
        return "_".join(parts) or "dp1"

    def to_dict(self) -> dict[str, Optional[int] | str]:
        keys = ("name", "tp", "cp", "pp", "vpp", "ep", "etp", "dp", "adp", "edp")
        return {key: getattr(self, key) for key in keys}


def resolve(parallel: Parallel, moe: bool) -> Degrees:
    """Fill in what was not written: etp = tp (1 without experts), adp = ep*dp.

    Raises ConfigError where `dp` and `adp` are both written.
    """
    if parallel.dp is not None and parallel.adp is not None:
        raise ConfigError.of(
            f"parallel.dp={parallel.dp} and parallel.adp={parallel.adp} exclude each other (adp = ep*dp)",
            "write one of them, and null for the other, as in parallel.dp=null",
        )
    etp = parallel.etp if parallel.etp is not None else (parallel.tp if moe else 1)
    adp = parallel.adp if parallel.adp is not None else parallel.ep * (parallel.dp or 1)
    return Degrees(parallel.tp, parallel.cp, parallel.pp, parallel.vpp, parallel.ep, etp, adp, moe)


def looks_like_degrees(name: str) -> bool:
    """Whether `name` is meant as a list of degrees (well spelt or not), rather than as a file's name."""
    return all(re.fullmatch(r"[a-z]+-?[0-9]+", part) for part in name.split("_")) and bool(
        re.match(rf"({'|'.join(WRITTEN)})-?[0-9]", name)
    )


def parse(name: str) -> dict[str, int]:
    """Read `ep16_tp4_pp4_dp4`, in any order. Raises ConfigError with every part that is not a degree."""
    found: dict[str, int] = {}
    bad: list[tuple[str, str]] = []
    for part in name.split("_"):
        match = _PART.fullmatch(part)
        key, value = (match[1], int(match[2][:_DIGITS])) if match else ("", 0)
        if key not in WRITTEN:
            fix = f"write one of {', '.join(WRITTEN)} followed by a number, as in tp8"
            bad.append((f"'{short(part)}' is not a degree", fix))
        elif value < 1:
            bad.append((f"{key}={value} is below 1", f"write {key}1 or more, or leave it out"))
        elif value > RANKS:
            bad.append((f"{key} is above {RANKS}", f"write {key} and a number of at most {RANKS}"))
        elif key in found:
            bad.append((f"{key} is written twice, {found[key]} and {value}", "write it once"))
        else:
            found[key] = value
    if "dp" in found and "adp" in found:
        both = f"dp={found['dp']} and adp={found['adp']} exclude each other (adp = ep*dp)"
        bad.append((both, "write one of them"))
    if bad:
        raise ConfigError(Problem(f"parallel={short(name)}: {what}", instead) for what, instead in bad)
    return found
