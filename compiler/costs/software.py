"""What software makes of the hardware: the constants of a training step and of a serving engine, fitted to measured ones."""

from __future__ import annotations

from compiler.frozen import dataclass


@dataclass(frozen=True)
class Software:
    """Factors on the parts of a step, 1 where nothing is known; seconds where the name says so.

    `products`, `grouped`, `core`, `elementwise`: on kernels; `scores`: on attention that is not fused; `permuted`: on moving
    copies of tokens to experts and back; `accumulated`: on adding each micro-batch's gradients to the main ones in memory.
    `tp`, `cp`, `ep`, `pp`: the exposed part of a collective's time; of dispatch `ep` within an NVLink domain, `ep_far` between
    domains, `ep_once` where a copy goes once to each rank (kernels other than NCCL's), `beside` beside computation. `dp`,
    `fsdp`: on the gradients' collectives and on gathering sharded parameters, which computation may hide; `window`: how much
    of a micro-batch hides the former. `optimizer`: on the update's memory traffic.
    `kernel_s`: host's time to launch a kernel (each that is counted stands for about three); `expert_s`: what a layer with experts
    adds to it; `wait_s`: what waiting for counts of tokens, or running two micro-batches in turns, adds to that.
    `micro_s` and `step_s`: of every micro-batch and every step. `scale`: on the whole step.
    """

    products: float = 1.0
    grouped: float = 1.0
    core: float = 3.0
    scores: float = 1.25
    elementwise: float = 1.25
    permuted: float = 1.6
    accumulated: float = 1.25
    tp: float = 1.0
    cp: float = 0.3
    ep: float = 1.2
    ep_far: float = 1.2
    ep_once: float = 1.2
    beside: float = 0.2
    pp: float = 0.5
    dp: float = 1.0
    window: float = 1.0
    fsdp: float = 1.0
    optimizer: float = 1.25
    kernel_s: float = 6e-5
    expert_s: float = 3e-4
    wait_s: float = 2e-3
    micro_s: float = 2e-3
    step_s: float = 1e-2
    scale: float = 1.0


@dataclass(frozen=True)
class Engine:
    """What a serving engine makes of the sum of its kernels: factors, and seconds where the name says so. `d_` of decode, `p_` of
    prefill; `decode` and `prefill` are on all kernels of either. Where a fit starts, and is held near: a factor of a measured
    kernel is 1, or less for those that were timed with the host's gaps between them (experts', and all of prefill's).

    `d_elementwise`, `p_elementwise`: on what moves through memory outside measured kernels, which counts neither quantising nor
    writing the cache. `d_kernel_s`: of each kernel in a captured graph that no curve has; `d_expert_s`: of the few that choose and
    sort experts. `d_step_s` and `d_request_s`: the host's between two steps, and for each request that runs. `p_kernel_s` and
    `p_expert_s`: the host's to launch, as prefill is launched kernel by kernel beside the GPU; `p_mla_s`: of a layer with latent
    attention (its plan, copies, two-part attention); `p_step_s`: of each chunk. `d_ep`, `p_ep`: of dispatch and combine; in prefill one
    batch's kernels hide most of another's, and dispatch is in FP8.
    `mixed`: how much of a prompt's time the requests that decode beside it wait. `queue`: 1 - exp(-queue) of the other
    requests' prompts are what a new one waits for: clients start together, so that half of them are ahead in one of some ten
    waves (serving benchmarks send about ten requests a client). `cohort`: the same of the few others that came in a step or two
    with it, as outputs of like lengths keep clients in step. `first_s`: what a request takes besides. `uneven`: a prompt takes
    ranks^uneven as long, as attention-DP ranks wait for each other. `poll`: decode steps that pass until a request is looked at
    and its token handed out: the step that runs, the one that is scheduled ahead, the one that its prompt joins, and the
    output's way back. `gather`: such steps that attention-DP ranks wait for prompts of the others (TensorRT-LLM's
    attention_dp_config, timeout_iters 50 unless it is set). `handoff_s`: from a worker that fills to one that decodes, beside
    the transfer.
    """

    decode: float = 1.0
    prefill: float = 0.9
    d_grouped: float = 0.9
    d_elementwise: float = 1.5
    d_kernel_s: float = 1.5e-6
    d_expert_s: float = 1e-5
    d_tp: float = 1.0
    d_ep: float = 1.0
    d_step_s: float = 4e-4
    d_request_s: float = 1e-5
    p_grouped: float = 0.8
    p_elementwise: float = 1.5
    p_tp: float = 1.0
    p_ep: float = 0.15
    p_kernel_s: float = 2e-5
    p_expert_s: float = 5e-5
    p_mla_s: float = 7e-4
    p_step_s: float = 3e-3
    mixed: float = 1.0
    first_s: float = 1e-2
    queue: float = 0.06
    cohort: float = 0.2
    uneven: float = 0.2
    poll: float = 4.0
    gather: float = 2.0
    handoff_s: float = 5e-2
