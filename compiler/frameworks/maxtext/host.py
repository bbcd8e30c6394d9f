"""States and activations in the host's memory, and attention without a fused kernel, in MaxText's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, check, rule, warned
from compiler.frameworks.told import Key
from compiler.specs.config import Config

PRODUCTS = (
    *("query_proj", "key_proj", "value_proj", "qkv_proj", "out_proj"),
    *("mlpwi", "mlpwi_0", "mlpwi_1", "mlpwo"),
)
"""Tensors that the policy `minimal` keeps (layers/nnx_decoders.py minimal_policy), less that of shared keys and values, which is no
key before 0.2.5; `minimal_with_context` keeps `context` too."""

KEPT = {"none": (*PRODUCTS, "context"), "selective": PRODUCTS, "full": ()}
"""Recomputation -> tensors that its policy keeps, beside the input of each layer."""


DTYPES = {"fp32": "float32", "bf16": "bfloat16"}

STATES = {"gradients": "grad_dtype", "exp_avg": "mu_dtype"}
"""What is kept of a weight beside it, and its key (configs/base.yml); the second moment is as wide as the weights, FP32."""

KEYS = {key: Key(f"states.{name}", {text: dtype for dtype, text in DTYPES.items()}) for name, key in STATES.items()}
"""Keys that say what a key of the workload says."""


def settings(config: Config) -> dict[str, Any]:
    """Keys of a training run beside its policy of recomputation, which `custom` takes the place of where tensors leave."""
    workload = config.workload
    found: dict[str, Any] = {}
    if workload.activation_offload:
        names = ("decoder_layer_input", *KEPT[workload.recompute])
        found |= {"remat_policy": "custom", **dict.fromkeys(names, "offload")}
    if workload.optimizer_offload:
        found["optimizer_memory_host_offload"] = True
    changed = workload.states.changed
    found |= {key: DTYPES[changed[name]] for name, key in STATES.items() if changed.get(name) in DTYPES}
    if not workload.fused_attention:
        found["attention"] = "dot_product"
    return found


@rule
def declared(config: Config, name: str) -> Iterator[Check]:
    """It moves all of a kind, or nothing."""
    workload = config.workload
    if not workload.train:
        return
    parts = (
        ("optimizer_offload", workload.optimizer_offload, "optimizer states", "optimizer_memory_host_offload"),
        ("activation_offload", workload.activation_offload, "the tensors of a name", "remat_policy=custom"),
    )
    for key, part, what, how in parts:
        if part:
            yield check(
                f"maxtext-{key.replace('_', '-')}",
                holds=part == 1,
                observed=f"{part:g}",
                limit="0 or 1",
                message=f"{name} moves all of {what} to the host, or none ({how} of configs/types.py), and workload.{key} is {part:g}",
                fix=f"write workload.{key}=1, or leave it out",
            )
    if workload.optimizer_offload:
        yield warned(
            "maxtext-optimizer-update",
            observed="on the GPU",
            limit="on the host",
            message=f"optimizer states of {name} live on the host and go to the GPU for the update (trainers/pre_train/train.py), where the "
            "plan counts an update on the host: the GPU holds them for as long, and they travel both ways",
            fix="leave room for them, or leave workload.optimizer_offload out",
        )
