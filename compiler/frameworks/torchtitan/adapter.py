"""The adapter: where each of torchtitan's rules is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.frameworks.adapter import Adapter, Empty
from compiler.frameworks.emission import Emission
from compiler.frameworks.needs import Need
from compiler.frameworks.told import Said
from compiler.frameworks.torchtitan import arguments, emit, layout, needs, rules, stages
from compiler.frameworks.torchtitan.arguments import replicas
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.world import World

LOSS_CHUNKS = 8.0
"""Parts in which the head's logits are made, used and dropped (ChunkedLossWrapper of all that torchtitan 0.3 registers)."""

LOGIT_BYTES = (12.0, 16.0)
"""Of a logit, without and with tp: in FP32 the log-softmax, its gradient and theirs, and where the loss is split over tp one copy
more (torch 2.13, live tensors of a step counted)."""

ASYNC_TP = "__compile.enable_async_tensor_parallel"


class Torchtitan(Adapter):
    """Rules of torchtitan 0.3. Its gradients are FP32, as are its optimizer's states; it picks what to recompute by operations."""

    hears = ()
    varies = ("tp", "adp")

    def needs(self, config: Config) -> Iterable[Need]:
        return needs.needs(config)

    def told(self, config: Config) -> Config:
        return arguments.told(config)

    empty_stages = Empty.ENDS

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        return layout.grids(config)

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return {**super().kinds(config, attention, expert), **layout.own_kinds(config)}

    def said_stages(self, config: Config) -> Sequence[int] | None:
        return stages.said(config)

    def interleaved_group(self, config: Config) -> int:
        """As many rounds as pp goes into the micro-batches, of equal size (torch.distributed.pipelining ScheduleInterleaved1F1B)."""
        workload, degrees = config.workload, config.degrees
        count = workload.global_batch_size // (degrees.adp * workload.micro_batch_size)
        return max(count // max(1, count // degrees.pp), 1)

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        return stages.uneven(config, parts)

    def padded_vocab_size(self, config: Config) -> int:
        """DTensor shards rows unevenly rather than adding some."""
        return config.model.vocab_size

    def written(self, config: Config) -> Iterable[Said]:
        return arguments.written(config)

    def registered(self, config: Config) -> bool:
        """A configuration of the user's own may have further sections."""
        return super().registered(config) and "--config" not in arguments.given(config)

    def copies(self, config: Config) -> int:
        return replicas(config)

    def traits(self, config: Config) -> Traits:
        """Selective recomputation keeps every second product (activation_checkpoint.py); FSDP's shards are FP32 (fully_shard), and
        under pipeline parallelism a stage is gathered once a step (distributed/fsdp.py, torch distributed/pipelining/stage.py);
        torchao's Float8Linear keeps its input as it was given. Releases that are named by their year chunk no loss.
        """
        found, asked = super().traits(config), [word.replace("-", "_") for word in config.framework.args]
        return replace(
            found,
            rebuilt=tuple(sorted(config.workload.recompute_modules)) or ("products",) if found.rebuilt else (),
            narrow_inputs=False,
            shards_masters=True,
            pipelined_tp=ASYNC_TP in asked,
            fused_loss=False,
            loss_chunks=1.0 if (config.framework.version or "").startswith("20") else LOSS_CHUNKS,
            logit_bytes=LOGIT_BYTES,
        )

    def declared(self, config: Config) -> Iterator[Check]:
        yield from rules.declared(config)

    def emission(self, world: World) -> Emission:
        return emit.emission(world)
