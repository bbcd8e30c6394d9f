"""Megatron-LM: a folded expert grid beside the attention grid, in one of two orders of ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.frameworks import known
from compiler.frameworks.adapter import Adapter, Empty
from compiler.frameworks.devices import device
from compiler.frameworks.emission import Emission
from compiler.frameworks.megatron import hybrid, keys, late, needs, stage_args
from compiler.frameworks.megatron.communicators import laid_out
from compiler.frameworks.megatron.emit import emission
from compiler.frameworks.megatron.layout import kinds
from compiler.frameworks.megatron.options import number, optimizer_instances
from compiler.frameworks.megatron.rules import declared
from compiler.frameworks.needs import Need
from compiler.frameworks.told import Said
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.world import World


class Megatron(Adapter):
    """Grids, experts and even stages are the plan's own rules, which follow Megatron's; uneven stages must be written."""

    empty_stages = Empty.ANY

    def said_stages(self, config: Config) -> Sequence[int] | None:
        return hybrid.counts(config) or stage_args.counts(config)

    def mtp_stage(self, config: Config) -> int:
        return stage_args.mtp_stage(config)

    def interleaved_group(self, config: Config) -> int:
        return late.group_size(config)

    def needs(self, config: Config) -> Iterable[Need]:
        return needs.needs(config)

    def told(self, config: Config) -> Config:
        return keys.read(hybrid.told_pattern(config))

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return kinds(config, attention, expert)

    def padded_vocab_size(self, config: Config) -> int:
        """The vocabulary is padded to a multiple of --make-vocab-size-divisible-by (128) for each tp rank."""
        step = number(config, "--make-vocab-size-divisible-by", 128) * config.degrees.tp
        return -(-config.model.vocab_size // step) * step

    def written(self, config: Config) -> Iterable[Said]:
        return known.written(config)

    def copies(self, config: Config) -> int:
        return optimizer_instances(config)

    def traits(self, config: Config) -> Traits:
        """The cross entropy is one kernel where it is asked to be; values are kept as `mixed_qkv` of transformer/attention.py."""
        said, workload, gpu = set(config.framework.args), config.workload, device(config.hardware.gpu)
        narrow = workload.precision == workload.states.weights == "fp8"
        older = not gpu.amd and gpu.capability < (10, 0)  # whose kernels read FP8 in one order alone
        return replace(
            super().traits(config),
            fused_loss="--cross-entropy-loss-fusion" in said,
            viewed_values=True,
            double_buffer="--fsdp-double-buffer" in said,
            kept_transposes="--keep-fp8-transpose-cache" in said and narrow and older,
        )

    def declared(self, config: Config) -> Iterator[Check]:
        yield from declared(config)

    def laid_out(self, world: World) -> Iterator[Check]:
        yield from laid_out(world)

    def emission(self, world: World) -> Emission:
        return emission(world)


ADAPTER = Megatron()
