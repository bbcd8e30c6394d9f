"""The library: light to import, at home in somebody else's Hydra application, and mappings that behave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import compiler
from compiler import CompilerError, ConfigError, InvariantError, Plan, WriteError, compile_plan
from tests.command import BARE, ROOT, STRATEGY, whole


def python(code: str, cwd: Path) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestImport:
    def test_costs_nothing(self, tmp_path: Path) -> None:
        heavy = "hydra omegaconf networkx jinja2 numpy rich yaml".split()
        code = f"import compiler, sys; print([name for name in {heavy} if name in sys.modules])"
        assert python(code, tmp_path) == "[]"

    def test_errors_come_without_hydra(self, tmp_path: Path) -> None:
        code = "from compiler import CompilerError, ConfigError; import sys; print('hydra' in sys.modules)"
        assert python(code, tmp_path) == "False"

    def test_all_names_are_there(self) -> None:
        assert all(getattr(compiler, name) is not None for name in compiler.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'nope'"):
            _ = compiler.nope

    def test_every_error_is_a_compiler_error_with_its_exit_code(self) -> None:
        assert {kind: kind.exit_code for kind in (ConfigError, InvariantError, WriteError)} == {
            ConfigError: 2,
            InvariantError: 3,
            WriteError: 4,
        }
        assert all(issubclass(kind, CompilerError) for kind in (ConfigError, InvariantError, WriteError))


class TestPlan:
    def test_groups_are_a_mapping(self, strategy: Plan) -> None:
        assert isinstance(strategy.groups, Mapping)
        assert strategy.groups["ep"].shape == (64, 16)
        assert np.issubdtype(strategy.groups["ep"].dtype, np.integer)
        assert len(strategy.groups) == len(list(strategy.groups)) == 12
        assert "ep" in strategy.groups
        assert "nope" not in strategy.groups
        with pytest.raises(KeyError, match="nope"):
            strategy.groups["nope"]

    def test_the_rank_map_is_a_mapping(self, strategy: Plan) -> None:
        assert isinstance(strategy.rank_map, Mapping)
        assert {len(column) for column in strategy.rank_map.values()} == {strategy.world_size} == {1024}
        assert strategy.rank_map["layers"][0] == "0-3"
        assert strategy.rank_map["ep"].tolist() == [rank // 4 % 16 for rank in range(1024)]
        with pytest.raises(KeyError, match="nope"):
            strategy.rank_map["nope"]

    def test_arrays_cannot_be_changed_under_the_plan(self, strategy: Plan) -> None:
        for array in (strategy.groups["tp"], strategy.rank_map["rank"]):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0

    def test_write_returns_a_whole_folder(self, strategy: Plan, tmp_path: Path) -> None:
        folder = strategy.write(str(tmp_path / "plans"))
        assert folder == tmp_path / "plans" / STRATEGY
        assert whole(folder)
        (tmp_path / "file").touch()
        with pytest.raises(WriteError, match="cannot be written"):
            strategy.write(tmp_path / "file")

    def test_the_folder_of_ones_own_files(self, tmp_path: Path) -> None:
        (tmp_path / "workload").mkdir()
        (tmp_path / "workload" / "mine.yaml").write_text(
            "kind: serve\nglobal_batch_size: 256\nsequence_lengths: [64]\nprecision: fp16\n"
        )
        plan = compile_plan([BARE, "~expect", "workload=mine"], config_dir=tmp_path)
        assert plan.to_dict()["projection"]["serve"]["decode"][0]["batch"] == 256

    def test_bad_input_raises_and_writes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="is not a degree ; write one of"):
            compile_plan(["parallel=ep8_tq8"])
        with pytest.raises(InvariantError) as caught:
            compile_plan([BARE, "parallel=ep3_tp3_pp3"])
        assert len(caught.value.problems) > 4
        assert not list(tmp_path.iterdir())


SNAPSHOT = """
import hydra, warnings
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra import version
from omegaconf import OmegaConf

def state():
    plugins = Plugins.instance()
    return (
        id(GlobalHydra.instance().hydra), GlobalHydra.instance().is_initialized(),
        dict(SourcesRegistry.instance().types), version.getbase(), repr(ConfigStore.instance().repo),
        sorted(str(plugin) for plugin in plugins.discover()),
        sorted(OmegaConf._resolvers if hasattr(OmegaConf, "_resolvers") else []),
        HydraConfig.initialized(), __import__("os").getcwd(), list(__import__("sys").argv),
        __import__("os").environ.get("HYDRA_FULL_ERROR"),
    )
"""

INSIDE_MAIN = (
    SNAPSHOT
    + """
@hydra.main(version_base="1.2", config_path="conf", config_name="app")
def app(cfg):
    before = state()
    from compiler import compile_plan, CompilerError
    name = HydraConfig.get().job.name
    plan = compile_plan(["scheduler=[]", f"parallel={cfg.degrees}"])
    try:
        compile_plan(["parallel=ep8_tq8"])
    except CompilerError:
        pass
    assert state() == before, (state(), before)
    assert HydraConfig.get().job.name == name
    print(plan.world_size, cfg.degrees)

app()
"""
)

INSIDE_COMPOSE = (
    SNAPSHOT
    + """
before = state()
from compiler import compile_plan
compile_plan(["scheduler=[]"])
assert state() == before, (state(), before)
with hydra.initialize(version_base=None, config_path="conf"):
    before = state()
    plan = compile_plan(["scheduler=[]"])
    assert state() == before, (state(), before)
    print(plan.world_size, hydra.compose("app").degrees)
"""
)


@pytest.mark.parametrize("code", [INSIDE_MAIN, INSIDE_COMPOSE], ids=["hydra.main", "compose"])
def test_inside_another_hydra_application(tmp_path: Path, code: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.yaml").write_text("degrees: ep16_tp4_pp4_dp4\nparallel: mine\n")
    (tmp_path / "app.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1024 ep16_tp4_pp4_dp4\n"), done.stderr


def test_state_is_left_as_it_was_in_this_process_too() -> None:
    from hydra import version
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.global_hydra import GlobalHydra

    types, base = dict(SourcesRegistry.instance().types), version.VersionBase.instance().version_base
    compile_plan([BARE])
    assert not GlobalHydra.instance().is_initialized()
    assert SourcesRegistry.instance().types == types
    assert version.VersionBase.instance().version_base == base
