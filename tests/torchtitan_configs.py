"""Configurations for torchtitan, one for each family of models, and its adapter."""

from __future__ import annotations

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config

BASE = ("framework=torchtitan", "workload=train")
MOE = ("parallel=ep16_etp1_tp4_pp4_dp4", *BASE)
LLAMA = ("model=llama3_1_8b", "parallel=tp4_pp2_cp2_adp4", *BASE, "hardware.nodes=8")
DEEPSEEK = ("model=deepseek_v3", "parallel=ep8_etp1_tp2_pp4_adp8", *BASE)
QWEN = ("model=qwen3_30b_a3b", "parallel=ep8_etp1_tp4_adp8", *BASE)
GPT_OSS = ("model=gpt_oss_120b", "parallel=ep8_etp1_tp4_adp8", *BASE)
REPLICATE = "--parallelism.data_parallel_replicate_degree"
TITAN = adapter("torchtitan")


def emitted(config: Config) -> tuple[str, ...]:
    return tuple(str(item) for item in TITAN.emission(lay_out(config)).arguments)
