"""One training step of a Llama under torch's FSDP2, with tensors that have no memory, over torch's fake process group.

Prints the bytes of live tensors, as JSON. Started by test_costs_memory_torch.py with the step's sizes as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import weakref
from typing import Any


def counting() -> Any:
    """A mode that knows the bytes of storages that are referenced; FSDP resizes some of them in place."""
    import torch

    mode: Any = importlib.import_module("torch.utils._python_dispatch").TorchDispatchMode

    class Live(mode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.peak, self.held = 0, weakref.WeakSet[Any]()

        def now(self) -> int:
            return sum(storage.nbytes() for storage in list(self.held))

        def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = call(*args, **(kwargs or {}))
            for leaf in torch.utils._pytree.tree_leaves(out):
                if isinstance(leaf, torch.Tensor):
                    self.held.add(leaf.untyped_storage())
            self.peak = max(self.peak, self.now())
            return out

    return Live()


def policy() -> Any:
    """torchtitan's: products and attention are kept, but every second product."""
    import torch

    checkpoint = importlib.import_module("torch.utils.checkpoint")
    aten, products = torch.ops.aten, {True: 0, False: 0}
    kept = (aten.mm.default, aten._scaled_dot_product_flash_attention_for_cpu.default)

    def choose(context: Any, call: Any, *_: Any, **__: Any) -> Any:
        products[context.is_recompute] += call == aten.mm.default
        again = call not in kept or (call == aten.mm.default and products[context.is_recompute] % 2 == 0)
        return getattr(checkpoint.CheckpointPolicy, "PREFER_RECOMPUTE" if again else "MUST_SAVE")

    return checkpoint.create_selective_checkpoint_contexts(choose)


def main(sizes: dict[str, int], recompute: str) -> None:
    import torch
    from torch import nn
    from torch.nn import functional

    fsdp = importlib.import_module("torch.distributed.fsdp")
    wrapper = importlib.import_module("torch.distributed.algorithms._checkpoint.checkpoint_wrapper").checkpoint_wrapper
    fake = importlib.import_module("torch.testing._internal.distributed.fake_pg").FakeStore()
    unreal = importlib.import_module("torch._subclasses.fake_tensor").FakeTensorMode(allow_non_fake_inputs=True)
    torch.distributed.init_process_group("fake", rank=0, world_size=sizes["ranks"], store=fake)
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (sizes["ranks"],))
    hidden, inner, heads, groups = (sizes[name] for name in ("hidden", "inner", "heads", "groups"))
    each = hidden // heads

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.RMSNorm(hidden), nn.RMSNorm(hidden)
            shapes = {"q": (hidden, hidden), "k": (hidden, groups * each), "v": (hidden, groups * each)}
            shapes |= {"o": (hidden, hidden), "gate": (hidden, inner), "up": (hidden, inner), "down": (inner, hidden)}
            self.w = nn.ModuleDict({name: nn.Linear(*shape, bias=False) for name, shape in shapes.items()})

        def forward(self, x: Any) -> Any:
            y, w = self.before(x), self.w
            q, k, v = (w[name](y).unflatten(-1, (-1, each)).transpose(1, 2) for name in "qkv")
            k, v = (part.repeat_interleave(heads // groups, 1) for part in (k, v))
            x = x + w["o"](functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
            y = self.after(x)
            return x + w["down"](functional.silu(w["gate"](y)) * w["up"](y))

    chosen: dict[str, Any] = {"context_fn": policy} if recompute == "selective" else {}
    precision = fsdp.MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    live = counting()
    with unreal:
        blocks = [wrapper(Block(), preserve_rng_state=False, **chosen) for _ in range(sizes["layers"])]
        head = nn.Linear(hidden, sizes["vocab"], bias=False)
        model = nn.Sequential(nn.Embedding(sizes["vocab"], hidden), *blocks, nn.RMSNorm(hidden), head)
        for index, block in enumerate(blocks):
            fsdp.fully_shard(block, mesh=mesh, mp_policy=precision, reshard_after_forward=index < len(blocks) - 1)
        fsdp.fully_shard(model, mesh=mesh, mp_policy=precision)
        shards = sum(parameter.to_local().untyped_storage().nbytes() for parameter in model.parameters())
        tokens = torch.zeros(sizes["sequences"], sizes["length"], dtype=torch.long)
        with live:
            logits = model(tokens)
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(0, 1))
            del logits
            loss.backward()
    sys.stdout.write(json.dumps({"shards": shards, "peak": live.peak}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
