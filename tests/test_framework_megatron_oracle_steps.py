"""What a rule refuses and Megatron's start lets pass stops Megatron itself in the first step, or is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock

import pytest

from compiler.frameworks.megatron.installed import module
from tests.configs import changed
from tests.megatron_configs import TRAIN
from tests.megatron_plans import newest_megatron, refusals, verdict


@pytest.fixture(scope="module")
def newest() -> Iterator[None]:
    with newest_megatron():
        yield


def test_experts_without_sequence_parallelism_stop_in_forward(newest: None) -> None:
    config = changed(TRAIN, {"workload.sequence_parallel": False})
    assert "megatron-moe-sequence-parallel" in refusals(config)
    assert verdict(config) == "", "nothing before the first step says so"
    layer = SimpleNamespace(
        training=True, attn_tp_group=SimpleNamespace(size=lambda: 4), config=SimpleNamespace(sequence_parallel=False)
    )
    with pytest.raises(ValueError, match="sequence parallelism"):
        module("megatron.core.transformer.moe.moe_layer").MoELayer.forward(layer, None)


def test_sequences_that_do_not_scatter_stop_in_forward(newest: None) -> None:
    import torch

    config = changed(TRAIN, {"workload.sequence_length": 4098})
    assert "megatron-sequence-length" in refusals(config)
    assert verdict(config) == ""
    group = SimpleNamespace(size=lambda: 4, rank=lambda: 0)
    with pytest.raises(AssertionError, match="divisible by tensor parallel size"):
        module("megatron.core.tensor_parallel.mappings")._split_along_first_dim(torch.zeros(4098), group)


@pytest.mark.parametrize(("batch", "group"), [(6 * 64, None), (5 * 64, 4), (8 * 64, 2)])
def test_micro_batches_that_do_not_interleave_stop_in_the_first_step(
    newest: None, batch: int, group: int | None
) -> None:
    words = [] if group is None else ["--microbatch-group-size-per-virtual-pipeline-stage", str(group)]
    config = changed(TRAIN, {"parallel.vpp": 2, "workload.global_batch_size": batch, "framework.args": words})
    assert "megatron-interleaving" in refusals(config)
    assert verdict(config) == ""
    with pytest.raises((ValueError, RuntimeError), match=r"micro-?batches"):
        _first_step(batch // 64, group or 4)


def _first_step(count: int, group: int) -> None:
    """As far as the interleaved schedule looks at its numbers."""
    import torch

    four = SimpleNamespace(size=lambda: 4, rank=lambda: 0)
    unset = dict.fromkeys(("finalize_model_grads_func", "timers", "no_sync_func", "grad_sync_func", "param_sync_func"))
    spec = SimpleNamespace(microbatch_group_size_per_vp_stage=group, overlap_p2p_comm=False, **unset)
    schedules, zeros = module("megatron.core.pipeline_parallel.schedules"), torch.zeros
    with (
        mock.patch.multiple(schedules, get_model_config=lambda _: spec, get_model_type=lambda _: None),
        mock.patch.object(torch, "zeros", lambda *size, **_: zeros(*size)),
    ):
        schedules.forward_backward_pipelining_with_interleaving(
            forward_step_func=None,
            data_iterator=[None, None],
            model=[torch.nn.Module(), torch.nn.Module()],
            num_microbatches=count,
            seq_length=64,
            micro_batch_size=1,
            p2p_communicator=SimpleNamespace(config=spec, pp_group=four),
            pg_collection=SimpleNamespace(tp=four, cp=four),
        )


def test_unknown_communicators_are_ignored_without_a_word(newest: None) -> None:
    import torch.distributed as dist

    options = module("megatron.core.parallel_state").get_nccl_options
    with mock.patch.object(dist, "ProcessGroupNCCL", mock.MagicMock(), create=True):
        assert options("dp_cp", {"dp-cp": {"max_ctas": 4}}) is None
        with pytest.raises(RuntimeError, match="net_name"):
            options("dp_cp", {"dp_cp": {"net_name": "efa"}})
