"""A user's program as rank RANK of WORLD_SIZE: deepspeed.initialize() from a plan's files, over torch's fake process group.

Prints the groups that the engine ended up in, as JSON. Started by test_framework_deepspeed_oracle.py.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    import torch
    from torch import nn

    fake = importlib.import_module("torch.testing._internal.distributed.fake_pg").FakeStore()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("fake", rank=rank, world_size=world, store=fake)
    deepspeed: Any = importlib.import_module("deepspeed")
    setattr(sys.modules["deepspeed.comm.torch"], "build_shm_op", lambda: None)  # noqa: B010 - a compiler run, not needed
    deepspeed.init_distributed(dist_backend="fake", auto_mpi_discovery=False)
    arguments = json.loads((folder / "constructors.json").read_text())
    pipe, moe = importlib.import_module("deepspeed.pipe"), importlib.import_module("deepspeed.moe.layer")
    topology = importlib.import_module("deepspeed.runtime.pipe.topology").PipeModelDataParallelTopology

    class Block(nn.Module):  # type: ignore[misc]  # torch is Any where it is not installed
        def __init__(self) -> None:
            super().__init__()
            width = arguments["MoE"]["hidden_size"]
            self.moe = moe.MoE(expert=nn.Linear(width, width), **arguments["MoE"])

    model = pipe.PipelineModule(
        layers=[pipe.LayerSpec(Block) for _ in range(int(os.environ["LAYERS"]))],
        topology=topology(**arguments["PipeModelDataParallelTopology"]),
        loss_fn=nn.MSELoss(),
        **arguments["PipelineModule"],
    )
    split = importlib.import_module("deepspeed.moe.utils").split_params_into_different_moe_groups_for_optimizer
    optimizer = torch.optim.SGD(split([{"params": list(model.parameters()), "name": "all"}]), lr=0.1)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=str(folder / "ds_config.json"))
    sys.stdout.write(json.dumps(dict(groups(engine, arguments["MoE"]["ep_size"]))) + "\n")
    sys.stdout.flush()


def groups(engine: Any, ep: int) -> Iterator[tuple[str, object]]:
    """Kind -> the ranks of this rank's group, and what else the engine took from the files."""
    made = importlib.import_module("deepspeed.utils.groups")
    ranks = importlib.import_module("torch.distributed").get_process_group_ranks
    grid = engine.grid
    yield "ep", list(made._get_expert_parallel_group_ranks(f"ep_size_{ep}"))
    yield "edp", list(made._get_expert_data_parallel_group_ranks(f"ep_size_{ep}"))
    yield "dp", ranks(engine.data_parallel_group)
    yield "pp", ranks(grid.get_pipe_parallel_group())
    yield "tp", ranks(grid.get_slice_parallel_group())
    yield "deepspeed.ds_model", ranks(grid.get_model_parallel_group())
    yield "layers", [engine.module._local_start, engine.module._local_stop - 1]
    yield "micro_batches", engine.gradient_accumulation_steps()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # the fake process group does not always come down
