"""What a framework decides: how it orders ranks and groups, deals out layers and experts, what it refuses and reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache

from compiler import plugins
from compiler.checks import Check, check
from compiler.errors import ConfigError
from compiler.expert_map import ExpertMap
from compiler.frameworks import transfers
from compiler.frameworks.emission import Emission
from compiler.frameworks.needs import Need
from compiler.frameworks.told import Said
from compiler.frameworks.transfers import Facing
from compiler.layout.experts import ExpertBlocks, contiguous
from compiler.layout.grid import Grid, GroupKind, row_major
from compiler.layout.groups import standard
from compiler.layout.stages import Stages
from compiler.layout.traits import Cached, Traits
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config
from compiler.world import World


class Empty(StrEnum):
    """Which virtual stages may hold no decoder layer."""

    NONE = "none"
    ENDS = "the first, which has the embedding, and the last, which has the head"
    ANY = "any"


class Adapter:
    """The plan's own rules, which are those of `framework=none`; a framework overrides what it does otherwise.

    Each package `frameworks/<name>/` holds one adapter as ADAPTER. Adapters have no state. `hears` names the keys
    of training, those below `workload.` that say what is kept and what runs again, that it can be told; None: all of them. Where it
    `abbreviates`, its parser takes the beginning of an option for the whole. `serves`: it is an inference server. `varies`: degrees
    that its traits depend on, beside pp and vpp.
    """

    empty_stages = Empty.NONE
    hears: Collection[str] | None = None
    abbreviates = False
    serves = False
    varies: Collection[str] = ("tp",)

    def written(self, config: Config) -> Iterable[Said]:
        """Options of `framework.args` as the table of its parser spells them; none where it has no table (`known.py`)."""
        return ()

    def registered(self, config: Config) -> bool:
        """Whether the table of its parser has all that it takes; a program of the user's own may take more."""
        return not config.launch.command

    def needs(self, config: Config) -> Iterable[Need]:
        """What its program wants of the user and is not given."""
        return ()

    def told(self, config: Config) -> Config:
        """The configuration with those of `framework.args` read as keys that say what keys say. Raises ConfigError."""
        return config

    def alone(self, config: Config) -> Config:
        """The configuration of one server, a pool's or without pools, with what the server chooses for itself as keys."""
        return config

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        """The attention grid (axes tp cp dp pp) and the expert grid (etp ep edp pp).

        Both follow `parallel.order`: cp is no axis of the expert grid, ep none of the attention grid.
        """
        degrees, tokens = config.degrees, config.parallel.order.split("-")
        attention = {"tp": degrees.tp, "cp": degrees.cp, "dp": degrees.adp, "pp": degrees.pp}
        expert = {
            "tp": ("etp", degrees.etp),
            "ep": ("ep", degrees.ep),
            "dp": ("edp", degrees.edp),
            "pp": ("pp", degrees.pp),
        }
        return (
            row_major((token, attention[token]) for token in tokens if token in attention),
            row_major(expert[token] for token in tokens if token in expert),
        )

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        """Every kind of group: the plan's own first, then the framework's, named `<framework>.<kind>`."""
        return standard(attention, expert if config.model.moe else None)

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        """Layers of each virtual stage where `parts` does not divide them; None where the framework has no rule."""
        return None

    def said_stages(self, config: Config) -> Sequence[int] | None:
        """Layers of each virtual stage as `framework.args` say them, where they do. Raises ConfigError."""
        return None

    def mtp_stage(self, config: Config) -> int:
        """The virtual stage that holds the MTP layers, counted from the last, which is -1."""
        return -1

    def interleaved_group(self, config: Config) -> int:
        """Micro-batches that go through a chunk before the next chunk has them, with virtual stages."""
        return config.degrees.pp

    def experts(self, config: Config, stages: Stages) -> ExpertBlocks:
        """The experts of each ep rank."""
        return contiguous(config.model.num_experts, config.degrees.ep, config.model.moe_layers, stages)

    def uneven_experts(self, config: Config) -> bool:
        """Whether some ep ranks may hold an expert more than others."""
        return False

    def redundant_experts(self, config: Config) -> int:
        """Copies of experts that a layer has beside one of each."""
        return 0

    def padded_vocab_size(self, config: Config) -> int:
        """Rows of the embedding table that the framework really makes."""
        tp = config.degrees.tp
        return -(-config.model.vocab_size // tp) * tp

    def copies(self, config: Config) -> int:
        """Sets of ranks that each hold all of what ZeRO cuts: hybrid sharding, and instances of an optimizer."""
        return 1

    def traits(self, config: Config) -> Traits:
        """All that memory and time depend on. Selective recomputation runs again what is asked for, else the attention's core."""
        workload, moe = config.workload, config.model.moe
        selective = workload.train and workload.recompute == "selective"
        return Traits(
            padded_vocab_size=self.padded_vocab_size(config),
            mtp_stage=self.mtp_stage(config),
            group=self.interleaved_group(config),
            copies=self.copies(config),
            redundant_experts=self.redundant_experts(config) if moe else 0,
            rebuilt=(tuple(sorted(workload.recompute_modules)) or ("core_attn",)) if selective else (),
            serves=self.serves,
            graph_batch=self.graph_batch(config),
            combine_bytes=self.combine_bytes(config),
            cached=self.cached(config),
        )

    def declared(self, config: Config) -> Iterator[Check]:
        """What the framework refuses, warns of or ignores silently, from the configuration alone."""
        layout = config.framework.expert_layout
        if layout is not None:
            yield check(
                "expert-layout",
                holds=layout == "contiguous",
                observed=layout,
                limit="contiguous",
                message=f"framework.expert_layout={layout}: without a framework ep rank r holds the r-th run of experts",
                fix="leave framework.expert_layout out",
            )

    def facing(self, config: Config) -> Facing:
        """What a server is to those of the other pool: all that `between` may read of it."""
        return transfers.facing(config, config.framework.version or "", {}, ())

    def between(self, prefill: Facing, decode: Facing) -> Iterator[Check]:
        """What a server wants of pools that prefill and decode for each other; ids begin with `pools-`, and messages with the pool
        that a fix changes.
        """
        yield from ()

    def laid_out(self, world: World) -> Iterator[Check]:
        """The same, where it takes the ranks and their places to see."""
        yield from ()

    def graph_batch(self, config: Config) -> int | None:
        """Sequences of an attention-DP rank up to which a server decodes by captured CUDA graphs; None for any number."""
        return None

    def combine_bytes(self, config: Config) -> float | None:
        """Bytes of an element that experts send back; None for as many as activations have."""
        return None

    def cached(self, config: Config) -> Cached:
        """What a layer caches of a token."""
        return Cached()

    def running(self, config: Config, sequences: int) -> Iterator[Check]:
        """What a server says of so many sequences of an instance that memory lets run at a time."""
        yield from ()

    def widens(self, config: Config, precision: str) -> bool:
        """Whether it takes weights of a precision that the GPU has no units for, and computes in a wider one."""
        return False

    def takes_map(self, config: Config) -> bool:
        """Whether it is started with a map of experts, where loads ask for one."""
        return False

    def located(self, world: World, experts: ExpertMap) -> Iterator[Artifact]:
        """A map of experts in the form that it reads, paths under `framework/`."""
        yield from ()

    def emission(self, world: World) -> Emission:
        """What it is started with. Raises ConfigError where `framework.args` clash with it."""
        return Emission()


@cache
def names() -> tuple[str, ...]:
    """Every framework there is, found by its package or its entry point."""
    return tuple(plugins.names(plugins.FRAMEWORKS))


def servers() -> list[str]:
    """Frameworks that are inference servers."""
    return [name for name in names() if adapter(name).serves]


def adapter(name: str) -> Adapter:
    """Load a framework's adapter. Raises ConfigError for an unknown name."""
    found: Adapter | None = plugins.load(plugins.FRAMEWORKS, name, "ADAPTER")
    if found is None:
        raise ConfigError.of(f"framework.name={name} is not a known framework", f"write one of {', '.join(names())}")
    return found
