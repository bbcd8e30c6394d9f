"""What the model is run for: training steps, or prefill and decode."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice, fraction, numbers, quantity, text, words
from compiler.specs.limits import ARGUMENT, LAYERS, LENGTHS, NODES, PARAMETERS, RANKS, SECONDS, TOKENS
from compiler.specs.model import BYTES
from compiler.specs.states import States

DISPATCHES = ("alltoall", "capacity", "deduplicated")
"""How tokens reach their experts in training: a copy for each expert, whose counts the host waits for; the same cut or filled
up to a fixed count; or one copy for each rank, and for each NVLink domain between domains (DeepEP, HybridEP)."""

MODULES = ("core_attn", "layernorm", "mhc", "mla_up_proj", "mlp", "moe", "moe_act", "shared_experts")
"""Modules of a layer that selective recomputation may run again, by Megatron's names: the attention's core, both norms, MLA's up
projections, a dense layer's MLP, what mixes the streams of hyper-connections, the whole of a MoE layer, its experts' activation alone, and its shared experts."""

OFFLOADED = ("attn_norm", "attn_proj", "core_attn", "expert_fc1", "mlp_norm", "moe_act", "qkv_linear")
"""Modules of a layer whose kept tensors may go to the host's memory, by Megatron's names: the norms before attention and experts,
the product that makes queries, keys and values, the attention's core and its last product, the experts' first product and their
activation."""

ROLES = ("prefill", "decode")
"""What an instance of a server may do alone, in the order in which a request meets them."""


@dataclass(frozen=True)
class Pool:
    """Instances with one role."""

    parallel: Any = None
    """Degrees, by name or as a mapping; the plan's own where it is null."""
    instances: int = between(1, RANKS, 1)
    """Independent servers of the pool."""
    spare_nodes: int = between(0, NODES, 0)
    """Nodes kept in reserve for it."""
    global_batch_size: Optional[int] = between(1, TOKENS, None)
    """The workload's own where it is null."""
    args: list[str] = text(list, longest=ARGUMENT)
    """Arguments behind `framework.args`."""
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    """Variables before `launch.environment`."""
    draft_tokens: Optional[int] = between(0, 1024, None)
    """The workload's own where it is null."""


@dataclass(frozen=True)
class Pools:
    """Prefill and decode on nodes of their own, each a plan."""

    prefill: Pool = MISSING
    """Servers that read prompts."""
    decode: Pool = MISSING
    """Servers that write answers."""

    def __getitem__(self, role: str) -> Pool:
        return self.prefill if role == "prefill" else self.decode


@dataclass(frozen=True)
class Workload:
    """What the model is run for. Batches are in sequences, lengths in tokens."""

    kind: str = choice(("train", "serve"))
    """Training steps, or prefill and decode."""
    global_batch_size: int = between(1, TOKENS)
    """Sequences of a step; in serving, clients of an instance that are answered at a time."""
    micro_batch_size: int = between(1, TOKENS, 1)
    """Sequences of a forward pass of one data-parallel rank."""
    sequence_length: Optional[int] = between(1, TOKENS, None)
    """Tokens of a sequence, in training."""
    sequence_lengths: list[int] = numbers(1, TOKENS, LENGTHS)
    """Tokens of prompts, in serving: each is projected."""
    output_length: int = between(1, TOKENS, 1)
    """Tokens of an answer."""
    # a word of them once it is read: as the checkpoint says where it is None
    precision: Any = choice(tuple(BYTES), None)
    """What is computed in; in serving, of the weights of a checkpoint that is not quantised, too. Null follows the checkpoint."""
    kv_cache_precision: Optional[str] = choice(("bf16", "fp8"), None)
    """What keys and values are cached in; as a server does by itself where it is null, or as `precision` says where there is none."""
    recompute: str = choice(("none", "selective", "full"), "none")
    """What of the activations the backward pass computes again."""
    recompute_modules: list[str] = words(MODULES)
    """What `selective` runs again, by Megatron's names; a framework's own selection, the attention's core, where there are none."""
    states: States = field(default_factory=States)
    """What training keeps of each weight, and how wide."""
    wide_layers: list[int] = numbers(0, LAYERS, 2)
    """Of a model in FP8, how many first and last layers compute in BF16; alike where one number is given."""
    lora_rank: Optional[int] = between(1, LAYERS, None)
    """Adapters of that rank are trained, and the weights beside them are frozen."""
    optimizer: str = choice(("adam", "muon", "sgd"), "adam")
    """The optimizer. Muon updates matrices, and Adam embedding and head beside it."""
    muon_steps: int = between(1, 100, 5)
    """Newton-Schulz steps of Muon."""
    cuda_graphs: str = choice(("none", "layer", "step"), "none")
    """What the host launches at once: each kernel, each layer (but its experts), or a whole step."""
    sequence_parallel: Optional[bool] = None
    """Split what lies between tensor-parallel products over sequence; where it is null, in training with tp."""
    distributed_optimizer: bool = True
    """Shard the optimizer's states over data-parallel ranks."""
    zero_stage: int = between(0, 3, 0)
    """ZeRO's stage: states (1), gradients (2), weights (3)."""
    optimizer_offload: float = between(0, 1, 0.0)
    """Part of the optimizer's states that live in the host's memory."""
    activation_offload: float = between(0, 1, 0.0)
    """Part of the activations that live there."""
    offload_modules: list[str] = words(OFFLOADED)
    """Modules whose activations go to the host's memory, by Megatron's names."""
    schedule: str = choice(("1f1b", "interleaved", "zero_bubble", "dualpipe"), "1f1b")
    """Order of forward and backward passes in the pipeline."""
    imbalance: float = between(1, 1e6, 1.0)
    """Busiest over mean load of expert-parallel ranks."""
    imbalance_exponent: Optional[float] = between(1e-3, 10, None)
    """That of a power law of experts' loads, in its place."""
    dispatch: str = choice(DISPATCHES, "alltoall")
    """How tokens reach their experts in training."""
    overlapped_dispatch: bool = False
    """Tokens travel beside the computation of another micro-batch."""
    overlapped_shared_experts: bool = False
    """Shared experts compute while tokens travel."""
    delayed_weight_gradients: bool = False
    """Products for the gradients of weights wait until tokens travel, with `overlapped_dispatch`."""
    fused_attention: bool = True
    """Without it the scores of all pairs of tokens are kept."""
    fused_accumulation: bool = True
    """The product for a weight's gradient adds it to the main one; without it a pass of its own does."""
    prefix_share: float = between(0, 1, 0.0)
    """Part of each prompt whose keys and values a server still has, of an earlier turn or a common beginning; its last token is computed in
    any case, and memory is that of prompts of which nothing is found."""
    prefill_chunk: Optional[int] = between(1, TOKENS, None)
    """Tokens of a pass of prefill; whole prompts where it is null."""
    draft_tokens: int = between(0, 1024, 0)
    """Tokens that each step predicts ahead."""
    draft_acceptance: float = fraction(0.8)
    """Part of these that are accepted."""
    two_batch_overlap: bool = False
    """Exchange one half batch's tokens while the other one computes."""
    low_latency_dispatch: bool = False
    """Send tokens in decode as DeepEP's low-latency kernels do."""
    tokens: Optional[float] = quantity("tokens", (1, PARAMETERS), (1e6, 1e16), None)
    """Tokens to train on, for days and GPU-hours."""
    gpu_mtbf_s: Optional[float] = quantity("s", (1e-3, SECONDS), (1e5, 1e11), None)
    """Mean seconds between failures of one GPU, for goodput."""
    checkpoint_s: float = quantity("s", (0, SECONDS), (1e-2, 1e4), 30.0)
    """Seconds that the steps stop for a checkpoint."""
    checkpoint_interval_s: Optional[float] = quantity("s", (1e-3, SECONDS), (60, 1e6), None)
    """Seconds of work between checkpoints; the best where it is null."""
    restart_s: float = quantity("s", (0, SECONDS), (1, 1e5), 600.0)
    """Seconds until steps run again after a failure."""
    pools: Any = None  # Pools, once it is read: OmegaConf cannot override a typed node that is null
    """Prefill and decode as two plans, each with nodes of its own or sharing some."""
    role: Optional[str] = choice(ROLES, None)
    """Which of the pools a plan is: what `pools` sets."""
    assumed: list[str] = field(default_factory=list)
    """Keys that no source gives."""

    @property
    def train(self) -> bool:
        return self.kind == "train"

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the plan must hold."""
        return self.sequence_length or 1 if self.train else max(self.sequence_lengths, default=1)
