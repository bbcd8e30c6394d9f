"""Which communicators Megatron is told of, in a file of ours or of the user's, and how many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.cluster.spans import SPANS
from compiler.frameworks.emission import Computed
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import communicators
from tests.configs import changed
from tests.megatron_configs import TRAIN, args, checks, emitted, words


def test_the_communicator_file_names_what_leaves_nvlink() -> None:
    emission = emitted(TRAIN)
    (file,) = emission.files
    assert file.path == "framework/nccl_communicators.yaml"
    assert file.text == "pp: {is_high_priority_stream: true}\nep: {is_high_priority_stream: true}\n"
    assert Computed("{RANKPLAN_PLAN}/framework/nccl_communicators.yaml") in emission.arguments
    near = changed(TRAIN, {"parallel.pp": 1, "parallel.ep": 2})
    assert lay_out(near).worst_span("ep") == SPANS[1]
    assert emitted(near).files == ()
    assert "--nccl-communicator-config-path" not in words(near)


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("ep: {max_ctas: 8}\n", "pass", "every key is known"),
        ("{}\n", "pass", "every key is known"),
        ("dp-cp: {max_ctas: 8}\n", "fail", "dp-cp is no group"),
        ("ep: {ctas: 8}\n", "fail", "ep.ctas is no option"),
        ("ep: 8\n", "fail", "ep is no mapping of options"),
        ("ep: {net_name: efa}\n", "fail", "ep.net_name=efa is neither IB nor socket"),
        ("# nothing\n", "fail", "it is no mapping of groups"),
        ("a: [\n", "fail", "it is no mapping of groups"),
    ],
)
def test_a_communicator_file_of_the_users(tmp_path: Path, text: str, status: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    config = changed(TRAIN, args("--nccl-communicator-config-path", str(path)))
    found = checks(config)["megatron-communicators"]
    assert (found.status, message in found.message) == (status, True)
    assert emitted(config).files == ()


def test_communicators_of_a_version() -> None:
    given = args("--high-priority-stream-groups", "gtp_remat")
    assert checks(changed(TRAIN, given))["megatron-stream-groups"].status == "pass"
    assert checks(changed(TRAIN, {**given, "framework.version": "0.16.1"}))["megatron-stream-groups"].status == "fail"


def test_very_many_groups_are_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks(TRAIN)["megatron-groups"].observed == "5057"
    monkeypatch.setattr(communicators, "MANY", 5000)
    found = checks(TRAIN)["megatron-groups"]
    assert found.status == "warn"
    assert "every rank walks through 5057 groups at start" in found.message
