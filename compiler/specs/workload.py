"""What the model is run for: training steps, or prefill and decode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, between, choice, fraction, numbers, quantity, text, words
from compiler.specs.limits import ARGUMENT, LAYERS, LENGTHS, NODES, PARAMETERS, RANKS, SECONDS, TOKENS
from compiler.specs.model import BYTES
from compiler.specs.states import States

DISPATCHES = ("alltoall", "capacity", "deduplicated")
"""How tokens reach their experts in training: a copy for each expert, whose counts the host waits for; the same cut or filled
up to a fixed count; or one copy for each rank, and for each NVLink domain between domains (DeepEP, HybridEP)."""

MODULES = ("core_attn", "layernorm", "mla_up_proj", "mlp", "moe", "moe_act", "shared_experts")
"""Modules of a layer that selective recomputation may run again, by Megatron's names: the attention's core, both norms, MLA's up
projections, a dense layer's MLP, the whole of a MoE layer, its experts' activation alone, and its shared experts."""

OFFLOADED = ("attn_norm", "attn_proj", "core_attn", "expert_fc1", "mlp_norm", "moe_act", "qkv_linear")
"""Modules of a layer whose kept tensors may go to the host's memory, by Megatron's names: the norms before attention and experts,
the product that makes queries, keys and values, the attention's core and its last product, the experts' first product and their
activation."""

ROLES = ("prefill", "decode")
"""What an instance of a server may do alone, in the order in which a request meets them."""


@dataclass(frozen=True)
class Pool:
    """Instances with one role. `parallel` is degrees as `parallel=` takes them, or by name; the plan's own where it is None.

    `args` come after `framework.args`, `environment` goes before `launch.environment`; `global_batch_size` and `draft_tokens` are
    the workload's own where they are None.
    """

    parallel: Any = None
    instances: int = between(1, RANKS, 1)
    spare_nodes: int = between(0, NODES, 0)
    global_batch_size: Optional[int] = between(1, TOKENS, None)
    args: list[str] = text(list, longest=ARGUMENT)
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    draft_tokens: Optional[int] = between(0, 1024, None)


@dataclass(frozen=True)
class Pools:
    """Prefill and decode on nodes of their own, each a plan."""

    prefill: Pool = MISSING
    decode: Pool = MISSING

    def __getitem__(self, role: str) -> Pool:
        return self.prefill if role == "prefill" else self.decode


@dataclass(frozen=True)
class Workload:
    """Batches are in sequences, lengths in tokens; `imbalance` is busiest over mean load of expert-parallel
    ranks, `imbalance_exponent` that of a power law of experts' loads in its place. Without `fused_attention`
    the scores of all pairs of tokens are kept; with `overlapped_dispatch` tokens travel beside the computation of another
    micro-batch.

    `recompute_modules` is what `recompute: selective` runs again (none: a framework's own selection, the attention's core).
    `wide_layers`: of a model in FP8, how many first and last layers compute in BF16, alike where one number is given.
    `lora_rank`: adapters of that rank are trained, and the weights beside them are frozen.
    `cuda_graphs`: the host launches each kernel, each layer (but its experts), or a whole step.
    `optimizer_offload` and `activation_offload` are the parts of either that live in the host's memory, `offload_modules` single
    modules whose activations do.

    In serving: prompts run in passes of `prefill_chunk` tokens; `draft_tokens` are predicted by each step and accepted with
    `draft_acceptance`; `two_batch_overlap` exchanges one half batch's tokens while the other one computes;
    `low_latency_dispatch` sends them in decode as DeepEP's low-latency kernels do; keys and values are cached in
    `kv_cache_precision` (None: as a server does by itself, or as `precision` says where there is none). The inference servers
    are started so, or refuse it.

    Of a whole training run: `tokens` to train on, `gpu_mtbf_s` mean seconds between failures of one GPU, `checkpoint_s` that the
    steps stop for a checkpoint, every `checkpoint_interval_s` of work (None: the best), `restart_s` until steps run again.
    `precision` is what is computed in; in serving, of the weights of a checkpoint that is not quantised, too.
    `pools` makes two plans; `role` is which of them this one is.
    """

    kind: str = choice(("train", "serve"))
    global_batch_size: int = between(1, TOKENS)
    micro_batch_size: int = between(1, TOKENS, 1)
    sequence_length: Optional[int] = between(1, TOKENS, None)
    sequence_lengths: list[int] = numbers(1, TOKENS, LENGTHS)
    output_length: int = between(1, TOKENS, 1)
    # a word of them once it is read: as the checkpoint says where it is None
    precision: Any = choice(tuple(BYTES), None)
    kv_cache_precision: Optional[str] = choice(("bf16", "fp8"), None)
    recompute: str = choice(("none", "selective", "full"), "none")
    recompute_modules: list[str] = words(MODULES)
    states: States = field(default_factory=States)
    wide_layers: list[int] = numbers(0, LAYERS, 2)
    lora_rank: Optional[int] = between(1, LAYERS, None)
    optimizer: str = choice(("adam", "muon", "sgd"), "adam")
    cuda_graphs: str = choice(("none", "layer", "step"), "none")
    sequence_parallel: Optional[bool] = None
    distributed_optimizer: bool = True
    zero_stage: int = between(0, 3, 0)
    optimizer_offload: float = between(0, 1, 0.0)
    activation_offload: float = between(0, 1, 0.0)
    offload_modules: list[str] = words(OFFLOADED)
    schedule: str = choice(("1f1b", "interleaved", "zero_bubble", "dualpipe"), "1f1b")
    imbalance: float = between(1, 1e6, 1.0)
    imbalance_exponent: Optional[float] = between(1e-3, 10, None)
    dispatch: str = choice(DISPATCHES, "alltoall")
    overlapped_dispatch: bool = False
    fused_attention: bool = True
    prefill_chunk: Optional[int] = between(1, TOKENS, None)
    draft_tokens: int = between(0, 1024, 0)
    draft_acceptance: float = fraction(0.8)
    two_batch_overlap: bool = False
    low_latency_dispatch: bool = False
    tokens: Optional[float] = quantity("tokens", (1, PARAMETERS), (1e6, 1e16), None)
    gpu_mtbf_s: Optional[float] = quantity("s", (1e-3, SECONDS), (1e5, 1e11), None)
    checkpoint_s: float = quantity("s", (0, SECONDS), (1e-2, 1e4), 30.0)
    checkpoint_interval_s: Optional[float] = quantity("s", (1e-3, SECONDS), (60, 1e6), None)
    restart_s: float = quantity("s", (0, SECONDS), (1, 1e5), 600.0)
    pools: Any = None  # Pools, once it is read: OmegaConf cannot override a typed node that is null
    role: Optional[str] = choice(ROLES, None)
    assumed: list[str] = field(default_factory=list)

    @property
    def train(self) -> bool:
        return self.kind == "train"

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the plan must hold."""
        return self.sequence_length or 1 if self.train else max(self.sequence_lengths, default=1)
