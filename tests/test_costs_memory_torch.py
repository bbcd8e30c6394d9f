"""torch itself runs a step under FSDP2, with tensors that have no memory: the bytes that live are those of a plan."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from compiler.costs.case import case
from compiler.costs.work.activations import in_training
from compiler.costs.work.memory import gathered
from compiler.costs.work.params import counts, totals
from tests.costed import under
from tests.worlds import LLAMA_8B, TRAIN, world

STEP = Path(__file__).parent / "fsdp_step.py"
SIZES = {"ranks": 8, "sequences": 2, "length": 8192, "layers": 6}


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_a_step_of_fsdp_needs_what_torch_says(recompute: str) -> None:
    """At its peak, the loss: FP32 shards, what layers keep, the logits and their gradients, and what is gathered. Adam's moments
    have not been made, nor gradients.
    """
    model = replace(LLAMA_8B, num_hidden_layers=SIZES["layers"])
    workload = replace(TRAIN, zero_stage=3, recompute=recompute, micro_batch_size=SIZES["sequences"])
    workload = replace(workload, sequence_length=SIZES["length"], global_batch_size=SIZES["ranks"] * SIZES["sequences"])
    plan = case(under(world(f"adp{SIZES['ranks']}", model, workload), "torchtitan"))
    plan = replace(plan, loss_chunks=1.0)
    held = counts(plan, totals(plan.model))

    names = {"hidden": "hidden_size", "inner": "intermediate_size", "heads": "num_attention_heads"}
    names |= {"groups": "num_key_value_heads", "vocab": "vocab_size"}
    sizes = SIZES | {name: getattr(model, field) for name, field in names.items()}
    out = subprocess.run(
        [sys.executable, STEP, json.dumps(sizes), recompute], capture_output=True, text=True, check=True
    )
    found = json.loads(out.stdout)
    assert found["shards"] == pytest.approx(4 * float(held.total[0]) / SIZES["ranks"], rel=1e-6)
    expected = found["shards"] + in_training(plan)[0] + gathered(plan, held)[0]
    assert found["peak"] == pytest.approx(expected, rel=0.03)
