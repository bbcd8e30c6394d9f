"""Every number of the cost model that neither the plan nor the hardware gives, with its unit and its source.

"Assumed" marks a number that no source gives; calibration against measurements replaces those first.
"""

from __future__ import annotations

ACTIVATION_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 2.0, "mxfp8": 2.0, "fp4": 2.0, "nvfp4": 2.0}
"""Bytes of an activation, and of a trained weight: FP8 and FP4 recipes keep both in BF16 (Transformer Engine)."""

KV_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "mxfp8": 1.0, "fp4": 1.0, "nvfp4": 1.0}
"""Bytes of a cached key or value of that precision; where a plan says none and names no server, it follows the plan's own, no
narrower than FP8."""

STATE_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp4": 0.5625}
"""What training keeps of a weight: main gradient, which is also what is reduced, master copy (none where the weight itself is
FP32) and moments (Megatron-LM theoretical_memory_usage.py); weights in FP4 with a scale of 16 (Transformer Engine)."""

SAVED_BYTES = {"fp8": 1.0, "mxfp8": 1.0 + 1 / 32, "fp4": 0.5625, "nvfp4": 0.5625}
"""What a product read, kept for the gradient of its weights: one byte or half of one, and a scale of 32 or of 16 elements."""

SOFTMAX_STATISTIC_BYTES = 4.0
"""Fused attention keeps one FP32 log-sum-exp of a query and head, and no score (FlashAttention, 2205.14135)."""

VIEWED_VALUES = ("megatron",)
"""Frameworks whose core attention that runs again keeps values as a part of the product that puts out queries, keys and values
together, and so all of it (Megatron-LM transformer/attention.py, split of mixed_qkv; its storages counted in tests)."""

DROPOUT_MASK_BYTES = 2.0
"""Two one-byte masks of a layer and hidden element (2205.05198). GPT's ungated layers have dropout, gated ones none."""

LOGIT_BYTES = 4.0
"""FP32 logits and cross entropy in place (2205.05198, Megatron-LM)."""

LOGIT_COPIES_BYTES = {"torchtitan": (12.0, 16.0)}
"""The same of frameworks whose loss is not in place, without and with tp: in FP32 the log-softmax, its gradient and theirs, and
where the loss is split over tp one copy more (torch 2.13, live tensors of a step counted)."""

CHUNKED_BYTES = 6.0
"""Of a last hidden state whose loss is chunked: its copy in chunks, and its gradient in FP32 (same)."""

SHARDED_MASTERS = ("torchtitan",)
"""Frameworks whose FSDP shards are the FP32 weights themselves, narrower ones being made as layers are gathered (fully_shard).
Under pipeline parallelism they gather a stage once a step, and reduce its gradients once (torchtitan distributed/fsdp.py,
torch distributed/pipelining/stage.py).
"""

SCORE_BYTES = 2.0
"""Softmax of attention that is not fused, kept in half precision without dropout (2205.05198)."""

SCORE_WORK_BYTES = 6.0
"""Scores of the one layer that runs: in half precision, and in FP32 for the softmax (Megatron-LM's unfused path)."""

OTHER_BYTES = {"train": 1.2e9, "serve": 3.9e9}
"""CUDA context, cuBLAS workspaces and communicators, which an allocator does not count. Serving: 3.5 GB and 0.342 to 0.392 GB
of NCCL buffers (AIConfigurator 0.12); training: assumed (context 0.5, NCCL 0.4, workspaces 0.3 GB)."""

RESERVED_SHARE = 1.05
"""Memory that PyTorch's allocator reserves over what is allocated at the peak: 1.02 to 1.08, mean 1.05 (SimuMax's 12 runs
on 8 B200)."""

WORKSPACE_BYTES = 0.5e9
"""Temporary tensors at the peak beyond the weights' own (mean of what SimuMax's runs on 8 B200 leave unexplained)."""

GATHERED_LAYERS = 2.0
"""Layers that ZeRO-3 holds whole at a time, beside the embedding and the head: the one that runs and the one that is fetched
ahead (assumed)."""

KERNEL_LAUNCH_S = 3e-6
"""Seconds that a kernel takes beyond its roofline (AIConfigurator 0.12, elementwise kernels)."""

KERNELS_PER_LAYER = 10.0
"""Kernels of a layer's forward pass: norms, projections, rotation, attention, MLP or experts (assumed, counted by hand)."""

ELEMENTWISE_PASSES = 10.0
"""Times that the hidden state of a layer moves to or from memory outside GEMMs: norms 4, residuals 6 (assumed)."""

NORM_PASSES = 4.0
"""Of these, what the two norms read and write."""

SCORE_PASSES = 4.0
"""Times that the scores move to or from memory where attention is not fused: written, read and written by the masked softmax,
and read (Megatron-LM)."""

DROPOUT_PASSES = 2.5
"""The same of dropout on them, with a mask of one byte."""

LOSS_BYTES = {True: 10.0, False: 36.0}
"""Memory traffic of a logit in cross entropy, forward and backward. Fused: BF16 read twice, its gradient written and scaled.
Not fused: a copy in FP32, its maximum, exponential and sum, the division, and their gradients (counted by hand)."""

PERMUTE_PASSES = 6.0
"""Times that a copy of a token moves to or from memory in a forward pass: out of the hidden states, sorted by expert (read and
written), sorted back (read and written), and into the sum (counted by hand in Megatron-LM's dispatcher)."""

ROW_ELEMENTS = 2048
"""Elements of a hidden state in whose time a copy is found and started, whatever its size (best of 0, 2,048, 4,096 and 8,192
by models left out)."""

GRADIENT_PASSES = 4.0
"""Times that the optimizer moves a gradient: read for the norm, read and written to clip it, read by Adam (SimuMax)."""

ACCUMULATED_PASSES = 2.0
"""Times that a gradient moves where a micro-batch's is added to it: read and written, within the product (gradient accumulation
fusion, Megatron-LM). It is cleared once a step."""

BACKWARD_RATIO = 2.0
"""Work of a backward pass over a forward pass (Megatron-LM: 3 forward passes a step)."""

COLLECTIVE_LAUNCH_S = 7e-6
"""Seconds of a collective beyond steps and bytes: 8 H100 take 13 us for a tiny all_reduce, of which 6 hops are about 1 us each (nccl-tests)."""

PEER_S = 0.2e-6
"""Seconds that an all_to_all takes for each peer beyond its bytes (assumed)."""

SWITCH_LATENCY_S = 0.2e-6
"""Seconds of one switch hop; two more hops a level of the fabric (assumed)."""

SCALE_UP_EFFICIENCY = {
    "all_reduce": 0.90,  # 0.94 B200, 1.07 H100 with in-switch reduction, lower without
    "all_gather": 0.74,  # H100: 335 of 450 GB/s
    "reduce_scatter": 0.74,  # same
    "all_to_all": 0.69,  # H100: 310 of 450 GB/s
    "send_recv": 0.74,  # assumed to be as all_gather
}
"""Fraction of NVLink bandwidth that large messages reach (nccl-tests, 8 GPUs)."""

SCALE_OUT_EFFICIENCY = 0.74
"""Fraction of the network cards' bandwidth that large messages reach (4 nodes of B200, all_reduce: 37 of 50 GB/s a card)."""

PCIE_BANDWIDTH = 25e9
"""Bytes/s per direction between GPUs of a node without NVLink: PCIe 4.0 x16, 31.5e9 in theory, 80 % of it (assumed)."""

PCIE_LATENCY_S = 5e-6
"""Seconds of a message over PCIe (assumed)."""

ZERO_BUBBLE_SHARE = 1 / 3
"""Part of 1F1B's bubble that ZB1P leaves: (F+B-2W)/(F+B) with F = W = B/2, B the whole backward pass (DeepSeek-V3 report, table 2)."""

DUALPIPE_MICRO_BATCHES = 1.0
"""Micro-batches in flight beyond the number of stages under DualPipe (DeepSeek-V3 report, table 2)."""
