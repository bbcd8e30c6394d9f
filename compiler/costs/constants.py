"""Every number of the cost model that neither the plan nor the hardware gives, with its unit and its source.

"Assumed" marks a number that no source gives; calibration against measurements replaces those first.
"""

from __future__ import annotations

from compiler.specs.hardware import Nvlink

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

DROPOUT_MASK_BYTES = 2.0
"""Two one-byte masks of a layer and hidden element (2205.05198). GPT's ungated layers have dropout, gated ones none."""

LOGIT_BYTES = 4.0
"""FP32 logits and cross entropy in place (2205.05198, Megatron-LM)."""

CHUNKED_BYTES = 6.0
"""Of a last hidden state whose loss is chunked: its copy in chunks, and its gradient in FP32 (torch 2.13, live tensors
of a step counted)."""

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

GRAPHED_S = 4e-6
"""Most seconds of the same in a captured graph: BF16 products of all engines take 2.2 to 4.5 us (kernels of nine GPUs); others were
timed with gaps that a graph does not have."""

QUANTISED_S = 2e-6
"""What quantising their input adds to narrower ones: their quickest take 4.0 to 7.5 us."""

GRAPHED_EXPERTS_S = 2e-5
"""Most seconds of a layer's experts beside their arithmetic and traffic in a captured graph: they are some six kernels, and were timed
with the host's gaps between them (28 to 139 us)."""

ASSUMED_SHARPNESS = 3.0
"""Of the edge between arithmetic and memory where no kernel was measured (2.4 to 3.2 on H100)."""

WIDE_HEAD = 128
"""Values of a head from which on fused attention is as fast as it gets; narrower ones are slower by the square root: at 64 cuDNN
has 0.69 of the speed, FlashAttention-3 0.77 and FlashAttention-2 0.88 (2407.08608, figure 5)."""

KERNELS_OF_LAYER = 9.0
"""Kernels beside the products: norms, rotation, attention, residuals (counted by hand)."""

MLA_KERNELS = 6
"""Kernels of MLA beside its products: two norms of latents, queries to the latent and outputs from it, rotation and
concatenation, writing the cache (counted by hand)."""

ELEMENTWISE_PASSES = 10.0
"""Times that the hidden state of a layer moves to or from memory outside GEMMs: norms 4, residuals 6 (assumed)."""

NORM_PASSES = 4.0
"""Of these, what the two norms read and write."""

SCAN_PASSES = 4.0
"""Times that what a block with a state keeps moves to or from memory beside its products: convolution, states of chunks written, passed
on and read, scan, and gated norm (counted by hand in mamba_ssm's split_conv1d_scan_combined: 71,000 elements of a token whose block
keeps 18,500)."""

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

EXPERT_BIAS_BYTES = 64 / 3
"""Memory traffic of an element that experts put out where each adds a bias to it, a third of forward and backward together: 28 bytes
forward (a product with the token's weight in FP32, the sum, their join and the cast back) and 36 backward (counted by hand in
Megatron-LM's TEGroupedMLP._apply_bias)."""

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


def scale_up_efficiency(nvlink: Nvlink, op: str) -> float:
    """That of an operation: nothing is reduced in a switch where GPUs are joined by a mesh."""
    return SCALE_UP_EFFICIENCY["all_gather" if nvlink.mesh and op == "all_reduce" else op]


SCALE_OUT_EFFICIENCY = 0.74
"""Fraction of the network cards' bandwidth that large messages reach (4 nodes of B200, all_reduce: 37 of 50 GB/s a card)."""

PCIE_BANDWIDTH = 25e9
"""Bytes/s per direction of PCIe 4.0 x16, 31.5e9 in theory, 80 % of it (assumed): between GPUs of a node without NVLink, and between a
GPU and its host."""

PCIE_LATENCY_S = 5e-6
"""Seconds of a message over PCIe (assumed)."""

ZERO_BUBBLE_SHARE = 1 / 3
"""Part of 1F1B's bubble that ZB1P leaves: (F+B-2W)/(F+B) with F = W = B/2, B the whole backward pass (DeepSeek-V3 report, table 2)."""

DUALPIPE_MICRO_BATCHES = 1.0
"""Micro-batches in flight beyond the number of stages under DualPipe (DeepSeek-V3 report, table 2)."""

CHUNK = 8192
"""Tokens of prompts that a step takes at most (vLLM's and TensorRT-LLM's own setting)."""

COHORT = 4.0
"""Others that come again together with a request: those that a step or two filled together end together."""

EDGE = 4.0
"""Sharpness where two kinds of work run beside each other: (a^4 + b^4)^(1/4)."""

SOFT_EDGE = 1.5
"""The same of the collectives of a step beside its last micro-batch, as whole buckets wait: less sharp (chosen with all rows in
sight; 2 does about as well on what was left out)."""

CORE_BACKWARD = 2.5
"""Work of attention's backward pass over its forward pass: five products for two (FlashAttention, 2205.14135)."""

SCORES_BACKWARD = 1.6
"""Passes over the scores in backward over those in forward, where attention is not fused (counted by hand: 10.5 and 6.5)."""

EIGHTY = 1.2816
"""Standard deviations on either side of four fifths of a normal distribution."""

MOST_REQUESTS = 4096.0
"""Requests that an attention-DP rank runs at a time, whatever its memory (trtllm-bench's bound; a server's own is 2048 or less, unless it
is told)."""

BUFFERS_BYTES = 0.37e9
"""Device memory of one communicator: 0.342 to 0.392 GB (AIConfigurator 0.12). Frameworks' overhead has one of them."""

NCCL_CHANNELS = 24
"""Channels of a communicator on NVLink (NVIDIA/nccl issue 1781, "24 coll channels"; 16 on H800, issue 892)."""

PROTOCOL_BYTES = {"NCCL_BUFFSIZE": 4194304, "NCCL_LL_BUFFSIZE": 524288, "NCCL_LL128_BUFFSIZE": 4915200}
"""Buffers of a connection, and the variables that set them: 4 MiB; 8 lines x 512 threads x 8 steps x 16 bytes; 120 elements x 640
threads x 8 steps x 8 bytes (NCCL, src/init.cc)."""

COMMUNICATOR_S = 1.8
"""Seconds to make a communicator: topology, buffers, connections (NVIDIA/nccl issues 534: 2.0 s at 8 ranks, 1646: 2.5 s)."""

COMMUNICATOR_RANK_S = 0.035
"""What each rank of it adds, exchanging addresses (issues 534: 4.1 s at 32 ranks, 1156: 150 s at some thousands)."""

DEEPEP_RANKS = (8, 16, 32, 64, 128, 256)

DEEPEP_DISPATCH_S = (77e-6, 118e-6, 155e-6, 173e-6, 192e-6, 194e-6)

DEEPEP_COMBINE_S = (114e-6, 195e-6, 273e-6, 314e-6, 369e-6, 360e-6)
"""Seconds for 128 tokens of 7,168 in FP8 (BF16 back) to 8 experts each, by ranks of an EP group (DeepEP V1, H800, 50 GB/s)."""

DEEPEP_PAIRS, DEEPEP_HIDDEN, DEEPEP_BANDWIDTH = 128 * 8, 7168, 50e9

DEEPEP_LATENCY_SHARE = 0.25
"""Part of these times that does not shrink with the message (assumed)."""

HOST_UPDATE_BANDWIDTH = 25e9
"""Bytes/s of the host's memory that Adam on its processors gets for each GPU: 8 channels of DDR5, 200e9, for 8 GPUs (assumed)."""

UPDATE_BYTES = 28.0
"""Memory traffic of a weight in Adam: gradient read 4, master and moments read 12 and written 12."""

PREFILL_KEPT, DECODE_KEPT = 0.90, 0.92
"""Part of a pool's rate that is left when requests come unevenly (AIConfigurator's run_disagg)."""

WRITTEN_BYTES = 2.0
"""Of a weight that the optimizer writes for the next forward pass."""

INTERLEAVED_BETWEEN = 0.15
"""Where an interleaved schedule lies between the lower bound by stages (0) and the sum of the stages (1)."""

ZERO_BUBBLE_SLACK = 0.5
"""Zero bubble: how much of what other stages are quicker than the slowest one is no wait."""

DUALPIPE_BEHIND, DUALPIPE_BEFORE = 4.0, 2.0
"""DualPipe: how many times a stage's own work makes up for slower ones behind it, and before it."""

DUALPIPE_SHARE = 2 / 3
"""DualPipe: (F + B + B - 3W) / (F + B) with B = 2F and W = F (DeepSeek-V3 report, table 2)."""

WEIGHT_SHARE = 0.5
"""Part of a backward pass that the gradients of weights take."""

WIDEST_LOADS = 6553.6
"""Most over fewest tokens of an expert: 0.8 of 8,192 (AIConfigurator's sampling of a power law)."""
