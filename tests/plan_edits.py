"""Edits of plans, and what each means for a job of the plan before it: the table of docs/diff.md.

`python -m tests.plan_edits` writes the table there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TRAIN = ("workload=train", "hardware=h100_80gb", "workload.recompute=full", "scheduler=[slurm,kubernetes_job]")
SERVE = ("hardware=h100_80gb", "scheduler=[slurm,lws]")
LLAMA, QWEN = "model=llama3_1_8b", "model=qwen3_30b_a3b"
FLAG = "framework.args=[--dist-ckpt-optim-fully-reshardable]"

BASES: dict[str, tuple[str, ...]] = {
    "megatron": ("framework=megatron", QWEN, "parallel=tp2_pp2_adp8_ep4_etp1", "hardware.nodes=4", *TRAIN),
    "megatron, reshardable": (
        "framework=megatron",
        QWEN,
        "parallel=tp2_pp2_adp8_ep4_etp1",
        "hardware.nodes=4",
        FLAG,
        *TRAIN,
    ),
    "megatron, no distributed optimizer": (
        *("framework=megatron", LLAMA, "parallel=tp4_adp4", "hardware.nodes=2", "workload.distributed_optimizer=false"),
        *TRAIN,
    ),
    "torchtitan": ("framework=torchtitan", LLAMA, "parallel=tp2_adp8", "hardware.nodes=2", *TRAIN),
    "deepspeed": (
        *("framework=deepspeed", LLAMA, "parallel=adp16", "hardware.nodes=2", "workload.zero_stage=2", *TRAIN),
    ),
    "deepspeed, pipeline": (
        *("framework=deepspeed", LLAMA, "parallel=pp2_adp8", "hardware.nodes=2", "workload.zero_stage=1", *TRAIN),
    ),
    "maxtext": ("framework=maxtext", LLAMA, "parallel=tp2_adp8", "hardware.nodes=2", *TRAIN),
    "maxtext, grain": (
        *("framework=maxtext", LLAMA, "parallel=tp2_adp8", "hardware.nodes=2", "framework.args=['dataset_type=grain']"),
        *TRAIN,
    ),
    "none": (LLAMA, "parallel=tp2_pp2_adp4", "hardware.nodes=2", "launch.command=[python3,train.py]", *TRAIN),
    "vllm": ("framework=vllm", LLAMA, "parallel=tp4", "hardware.nodes=1", "framework.instances=2", *SERVE),
    "sglang": ("framework=sglang", QWEN, "parallel=tp8", "hardware.nodes=1", *SERVE),
    "tensorrt_llm": ("framework=tensorrt_llm", LLAMA, "parallel=tp8", "hardware.nodes=1", *SERVE),
    "sglang, pools": (
        *("framework=sglang", QWEN, "hardware.nodes=2", *SERVE),
        "workload.pools={prefill: {parallel: tp8}, decode: {parallel: tp8}}",
    ),
}
"""Plans that are edited, by what the table calls them."""


@dataclass(frozen=True)
class Edit:
    """An edit of a plan, and the verdict on it; `named` is a word that its reasons must have."""

    plan: str
    overrides: tuple[str, ...]
    verdict: str
    named: str = ""


def _edit(plan: str, overrides: str, verdict: str, named: str = "") -> Edit:
    return Edit(plan, tuple(overrides.split()), verdict, named)


EDITS = (
    _edit("megatron", "name=other", "cosmetic"),
    _edit("megatron", "launch.time_limit=12:00:00", "cosmetic"),
    _edit("megatron", "scheduler.slurm.comment=mine", "cosmetic"),
    _edit("megatron", "workload.tokens=1e12", "cosmetic"),
    _edit("megatron", "hardware.gpu.compute_efficiency=0.5", "cosmetic"),
    _edit("megatron", "launch.environment.NCCL_DEBUG=INFO", "restart", "NCCL_DEBUG"),
    _edit("megatron", "launch.image=registry.example.com/megatron:2", "restart", "image"),
    _edit("megatron", "launch.spare_nodes=1", "restart", "spare_nodes"),
    _edit("megatron", "scheduler.slurm.partition=batch", "restart", "partition"),
    _edit("megatron", "site.slurm.cpus_per_gpu=8", "restart", "cpus"),
    _edit("megatron", "hardware=h200 hardware.nodes=4", "restart", "other machines"),
    _edit("megatron", "workload.micro_batch_size=2", "restart", "micro-batch-size"),
    _edit("megatron", "workload.recompute=selective", "restart", "recompute"),
    _edit("megatron", "framework.version=0.17", "restart", "framework.version"),
    _edit("megatron", "parallel.adp=16 hardware.nodes=8", "restart", "ranks"),
    _edit("megatron", "parallel.tp=4 hardware.nodes=8", "breaks-resume", "--dist-ckpt-optim-fully-reshardable"),
    _edit("megatron", "parallel.pp=4 hardware.nodes=8", "breaks-resume", "--dist-ckpt-optim-fully-reshardable"),
    _edit("megatron", "parallel.ep=8", "breaks-resume", "--dist-ckpt-optim-fully-reshardable"),
    _edit("megatron", "parallel.vpp=2", "breaks-resume", "--dist-ckpt-optim-fully-reshardable"),
    _edit("megatron", "parallel.stages=[23,25]", "breaks-resume", "--dist-ckpt-optim-fully-reshardable"),
    _edit("megatron", "workload.distributed_optimizer=false", "breaks-resume", "distributed_optimizer"),
    _edit("megatron", "model.num_hidden_layers=46", "breaks-resume", "num_hidden_layers"),
    _edit("megatron", "workload.global_batch_size=512", "trains-differently", "global_batch_size"),
    _edit("megatron", "workload.sequence_length=8192", "trains-differently", "sequence_length"),
    _edit("megatron", "workload.states.gradients=bf16", "trains-differently", "gradients"),
    _edit("megatron", "framework.args=[--lr,1e-4]", "trains-differently", "--lr"),
    _edit("megatron", "model.rope_theta=500000", "trains-differently", "rope_theta"),
    _edit("megatron, reshardable", "parallel.tp=4 hardware.nodes=8", "reshard", "fully_reshardable"),
    _edit("megatron, reshardable", "parallel.pp=4 hardware.nodes=8", "reshard", "fully_reshardable"),
    _edit("megatron, reshardable", "parallel.ep=8", "reshard", "fully_reshardable"),
    _edit(
        "megatron, reshardable",
        "parallel.ep=8 workload.global_batch_size=512",
        "trains-differently",
        "global_batch_size",
    ),
    _edit("megatron, no distributed optimizer", "parallel.tp=2 parallel.adp=8", "reshard", "torch_dist"),
    _edit("torchtitan", "parallel.tp=4 hardware.nodes=4", "reshard", "torch DCP"),
    _edit("torchtitan", "parallel.cp=2 hardware.nodes=4", "reshard", "torch DCP"),
    _edit("torchtitan", "parallel.adp=16 hardware.nodes=4", "breaks-resume", "exclude_from_loading"),
    _edit(
        "torchtitan",
        "parallel.adp=16 hardware.nodes=4 framework.args=['--checkpoint.exclude_from_loading=dataloader']",
        "trains-differently",
        "the data starts over",
    ),
    _edit("torchtitan", "framework.args=['--optimizer.lr=1e-4']", "trains-differently", "--optimizer.lr"),
    _edit("deepspeed", "parallel.adp=32 hardware.nodes=4", "reshard", "universal"),
    _edit("deepspeed", "workload.zero_stage=3", "reshard", "universal"),
    _edit("deepspeed, pipeline", "parallel.pp=4 hardware.nodes=4", "reshard", "universal"),
    _edit("maxtext", "parallel.tp=4 hardware.nodes=4", "reshard", "Orbax"),
    _edit("maxtext", "parallel.adp=16 hardware.nodes=4", "reshard", "Orbax"),
    _edit("maxtext", "parallel.pp=2 hardware.nodes=4", "breaks-resume", "pipeline"),
    _edit("maxtext, grain", "parallel.adp=16 hardware.nodes=4", "breaks-resume", "expansion_factor_real_data"),
    _edit("none", "parallel.tp=4 hardware.nodes=4", "reshard", "torch DCP"),
    _edit("none", "parallel.order=tp-pp-dp-cp-ep", "restart", "order"),
    _edit("none", "launch.command=[python3,other.py]", "restart", "other.py"),
    _edit("vllm", "parallel.tp=8 framework.instances=1", "restart", "tensor-parallel-size"),
    _edit("vllm", "model=llama3_1_70b parallel.tp=8 framework.instances=1", "restart", "model"),
    _edit("vllm", "workload.global_batch_size=64", "restart", "max-num-seqs"),
    _edit("sglang", "framework.args=[--enable-metrics]", "restart", "--enable-metrics"),
    _edit("tensorrt_llm", "workload.kv_cache_precision=fp8", "restart", "kv_cache"),
    _edit("sglang, pools", "launch.environment.NCCL_DEBUG=INFO", "restart", "NCCL_DEBUG"),
    _edit("sglang, pools", "name=other", "cosmetic"),
)
"""Every edit of the table."""

DOCS = Path(__file__).parents[1] / "docs" / "diff.md"
BEGIN, END = "<!-- edits: python -m tests.plan_edits -->\n", "<!-- end of edits -->"


def table() -> str:
    """The plans and their edits, as docs/diff.md has them."""
    plans = [f"| {name} | `{' '.join(given)}` |\n" for name, given in BASES.items()]
    rows = [f"| {edit.plan} | `{' '.join(edit.overrides)}` | {edit.verdict} |\n" for edit in EDITS]
    edits = ["\n", "| plan | edit | verdict |\n", "|---|---|---|\n", *rows]
    return "".join(["| plan | compiled with |\n", "|---|---|\n", *plans, *edits])


if __name__ == "__main__":
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
