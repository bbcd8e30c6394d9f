"""Secrets in tables, folders, sweeps, pages and answers of resolvers: refused, or hidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from compiler import secrets
from compiler.config import exposed
from compiler.config.load import load_config
from compiler.errors import ConfigError, Problem
from compiler.render.artifacts import Artifact
from compiler.render.atomic import write_folder
from tests.command import BARE, ROOT, call, refused, tree
from tests.configs import changed, composed
from tests.plans import files, plan, pools
from tests.secret_cases import (
    SHAPES,
)
from tests.test_secrets import TARGETS


class TestTables:
    def test_a_column_of_passwords(self) -> None:
        table = "host,leaf,pod,rack,bmc_password\nn1,l,p,r,hunter2\n"
        (problem,) = exposed.problems(changed(composed(), {"hardware.inventory": table}))
        assert str(problem) == (
            "hardware.inventory has a column bmc_password, which looks like a password ; leave the column out"
        )

    @pytest.mark.parametrize("column", ["bmc_password_file,/etc/pw", "token,", "serial,0123", "bmc_password,"])
    def test_other_columns(self, column: str) -> None:
        name, value = column.split(",")
        table = f"host,leaf,pod,rack,{name}\nn1,l,p,r,{value}\n"
        assert list(exposed.problems(changed(composed(), {"hardware.inventory": table}))) == []

    def test_files_that_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack,note\nn1,l,p,r," + SHAPES["gitlab"] + "\n")
        with pytest.raises(ConfigError, match=r"hardware\.inventory holds what looks like a GitLab token"):
            load_config([BARE, f"hardware.inventory={tmp_path}/hosts.csv"])
        (tmp_path / "curves.yaml").write_text("name: x\npassword: hunter2\n")
        with pytest.raises(ConfigError, match=r"hardware\.calibration holds what looks like a password"):
            load_config([BARE, f"hardware.calibration={tmp_path}/curves.yaml"])


class TestCompiling:
    @pytest.mark.parametrize("target", TARGETS)
    def test_nothing_is_written(self, tmp_path: Path, target: str) -> None:
        given = ["launch.environment.PGPASSWORD=hunter2", f"launch.command=[serve,--key,{SHAPES['nvidia']}]"]
        ran = refused(tmp_path, f"scheduler=[{target}]", *given, code=2)
        assert "launch.environment.PGPASSWORD looks like a password" in ran.err
        reference = "/run/secrets/PGPASSWORD" if target in ("slurm", "local") else "{secret:pgpassword,key:value}"
        assert f"launch.secrets.PGPASSWORD: {reference}" in ran.err  # prose: of two secrets one has no override
        assert "launch.command[2] holds what looks like an NVIDIA API key" in ran.err
        assert "hunter2" not in ran.err
        assert SHAPES["nvidia"] not in ran.err

    def test_pools(self, tmp_path: Path) -> None:
        args = "{args:[--api-key,hunter2],parallel:tp8}"
        ran = refused(tmp_path, f"workload.pools={{prefill:{args},decode:{{parallel:tp8}}}}", code=2)
        assert "workload.pools.prefill.args holds what looks like a key" in ran.err

    def test_a_secret_that_is_no_reference(self, tmp_path: Path) -> None:
        assert "is not a reference" in refused(tmp_path, BARE, "launch.secrets.X=hunter2", code=2).err
        given = f"launch.secrets.X={{secret:{SHAPES['gitlab']},key:k}}"
        assert "launch.secrets.X.secret holds what looks like a GitLab" in refused(tmp_path, BARE, given, code=2).err

    @pytest.mark.parametrize(
        "override",
        [
            "hardware.nodes={}",
            "launch.environment.HF_TOKEN=[{}]",
            "launch.environment.HF_TOKEN={{a:{}}}",
            "parallel={}",
            "launch.secrets={}",
            "+nope={}",
            "framework.version={},b",
        ],
    )
    def test_no_message_shows_it(self, tmp_path: Path, override: str) -> None:
        ran = refused(tmp_path, BARE, override.format(SHAPES["huggingface"]), code=2)
        assert SHAPES["huggingface"] not in ran.err

    def test_by_reference_it_passes(self, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("hunter2")
        for target in TARGETS:
            for made in (
                plan(scheduler=(target,), secrets={"PGPASSWORD": str(secret)}),
                pools((1, 1), (1, 1), scheduler=(target,), secrets={"PGPASSWORD": str(secret)}),
            ):
                texts = [str(item.text) for item in files(made).values()]
                assert any(str(secret) in text for text in texts)
                assert not any("hunter2" in text for text in texts)

    @pytest.mark.parametrize(
        "value", ["//hunter2", "=/hunter2", "/", "{secret: s, key: 'hunter2/'}", "{secret: Hunter2, key: k}"]
    )
    def test_a_reference_that_cannot_be_one_is_not_shown(self, tmp_path: Path, value: str) -> None:
        ran = refused(
            tmp_path,
            "scheduler=[lws]",
            f"launch.secrets.X='{value}'" if value[0] != "{" else f"launch.secrets.X={value}",
            code=2,
        )
        assert "unter2" not in ran.err


class TestSweeps:
    @pytest.mark.parametrize(
        "override",
        [
            "launch.environment.HF_TOKEN=hunter2",
            "launch.environment.HF_TOKEN=hunter2,hunter3",
            "launch.command=[curl,-u,me:hunter2]",
            "launch.secrets.X=hunter2",
            "sweep=" + SHAPES["npm"],
        ],
    )
    def test_no_folder_is_named_by_one(self, tmp_path: Path, override: str) -> None:
        ran = refused(tmp_path, "-m", BARE, override, "parallel.dp=4,2", code=2)
        assert "hunter" not in ran.err
        assert SHAPES["npm"] not in ran.err

    def test_a_summary_does_not_show_one(self, tmp_path: Path) -> None:
        (tmp_path / "launch").mkdir()
        for name in "ab":
            (tmp_path / "launch" / f"{name}.yaml").write_text("environment: {PGPASSWORD: hunter2}\n")
        ran = call("-m", BARE, "--config-dir=.", "launch=a,b", "sweep=s", cwd=tmp_path)
        assert ran.code == 1
        text = (tmp_path / "out" / "sweeps" / "s" / "summary.csv").read_text()
        assert "launch.environment.PGPASSWORD looks like a password" in text
        assert "hunter2" not in text + ran.err + ran.out


class TestTheLastNet:
    """Whatever way a text comes into a file, it is looked at before it is written."""

    @pytest.mark.parametrize("text", [SHAPES[name] for name in ("huggingface", "database", "private key", "jwt")])
    def test_a_file_with_a_secret_is_not_written(self, tmp_path: Path, text: str) -> None:
        items = [Artifact("a.txt", "x: fine\n"), Artifact("b/c.yaml", f"x: '{text}'\n")]
        with pytest.raises(ConfigError, match=r"b/c\.yaml would hold what looks like"):
            write_folder(tmp_path / "out" / "plan", items)
        assert tree(tmp_path) == {}

    def test_our_own_files_pass(self) -> None:
        for folder in ("tests/golden", "conf", "templates", "compiler/runtime"):
            for path in (ROOT / folder).rglob("*.*"):
                if path.suffix not in (".gz", ".pyc", ".npz"):
                    assert secrets.shaped(path.read_text(encoding="utf-8")) is None, path


class TestRedacted:
    @pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
    def test_a_problem_shows_none(self, text: str) -> None:
        said = str(Problem(f"launch.workdir={text} is bad", "write another"))
        hidden = next(part for part in ("hunter2", text.rsplit(maxsplit=1)[-1]) if part in text)
        assert hidden not in said or text.startswith("-----")
        assert "***" in said

    def test_all_of_a_login_in_an_url(self) -> None:
        for login in ("u:hunter2", "u:p@hunter2", "hunter2:x-oauth-basic", ":hunter2", "u:hunter2/x"):
            for start in ("https://", "https:/", "//"):
                assert secrets.redacted(f"see {start}{login}@host/c.json") == f"see {start}***@host/c.json"

    def test_what_is_no_secret_stays(self) -> None:
        said = "launch.secrets.HF_TOKEN=/etc/hf: a path in a pyxis mount ; write launch.secrets.HF_TOKEN=FILE"
        assert secrets.redacted(said) == said

    def test_a_value_is_hidden_wherever_it_comes_again(self) -> None:
        assert secrets.redacted("PGPASSWORD=hunter2 and 'hunter2', t=1") == "PGPASSWORD=*** and '***', t=1"


ASKING = {
    "plain": ["launch.environment.X='${oc.env:HOME}'"],
    "default": ["launch.environment.X='${oc.env:NOPE,x}'"],
    "within": ["launch.workdir='/data/${oc.env:USER}/x'"],
    "nested": ["launch.workdir='${oc.env:${model.name},x}'"],
    "a computed name": ["launch.workdir='${oc.${model.name}:HOME}'", "model.name=env"],
    "decoded": ["launch.environment.X='${oc.decode:${launch.workdir}}'", r"launch.workdir='\'\\${oc.env:HOME}\''"],
    "in a list": ["launch.command=['${oc.env:HOME}']"],
    "a number": ["hardware.nodes='${oc.decode:${oc.env:NODES,4}}'"],
    "a model": ["model.hf_config='${oc.env:HOME}'"],
    "pools": ["workload.pools={prefill:{args:['${oc.env:HOME}']},decode:{}}"],
    "a target": ["scheduler=[slurm]", "scheduler.slurm.comment='${oc.env:USER}'"],
    "the clock": ["out='${now:%Y}'"],
    "hydra": ["launch.workdir='${hydra:runtime.cwd}'"],
}


class TestResolvers:
    @pytest.mark.parametrize("given", ASKING.values(), ids=ASKING)
    def test_what_asks_the_machine_is_refused(self, given: list[str]) -> None:
        chosen = [] if any(item.startswith("scheduler=") for item in given) else [BARE]
        with pytest.raises(ConfigError, match="asks the machine that compiles") as caught:
            load_config([*chosen, *given])
        assert os.environ.get("HOME", "/nope") not in str(caught.value)

    def test_in_files(self, tmp_path: Path) -> None:
        (tmp_path / "launch").mkdir()
        (tmp_path / "launch" / "mine.yaml").write_text("workdir: ${oc.env:HOME}\n")
        ran = refused(tmp_path, BARE, "--config-dir=.", "launch=mine", code=2)
        (line,) = ran.errors
        assert (
            "launch.workdir: ${oc.env:HOME} asks the machine that compiles, and the same input would make other" in line
        )
        assert line.endswith(
            "launch.secrets.NAME: FILE for a secret, or \\${oc.env:HOME} for a text that stays as it is"
        )
        (tmp_path / "primary.yaml").write_text("defaults: [rankplan_schema, _self_, hardware: '${oc.env:HW}']\n")
        ran = refused(tmp_path, "--config-dir=.", "--config-name=primary", code=2)
        assert "asks the machine" in ran.err

    def test_in_a_sweep(self, tmp_path: Path) -> None:
        given = ("-m", BARE, "parallel.dp=4,2", "sweep=s")
        ran = call(*given, "launch.workdir='${oc.env:HOME}'", cwd=tmp_path)
        assert ran.code == 1
        assert "asks the machine that compiles" in ran.err
        assert sorted(path.name for path in (tmp_path / "out" / "sweeps" / "s").iterdir()) == [
            "report.html",
            "summary.csv",
        ]
        refused(tmp_path, *given[:3], "sweep='${oc.env:USER,x}'", code=2)

    def test_an_application_of_somebody_keeps_its_own(self) -> None:
        OmegaConf.register_new_resolver("rankplan_test", lambda: "x")
        clock = OmegaConf.has_resolver("now")
        try:
            with pytest.raises(ConfigError, match="asks the machine"):
                load_config([BARE, "launch.workdir='${rankplan_test:}'"])
            again = OmegaConf.create({"a": "${rankplan_test:}", "b": "${oc.env:NOPE,y}"})
            assert (again.a, again.b) == ("x", "y")
            assert OmegaConf.has_resolver("now") == clock
        finally:
            OmegaConf.clear_resolver("rankplan_test")

    def test_between_keys_they_stay(self) -> None:
        given = ["launch.workdir='/data/${model.name}'", "launch.image='${oc.select:model.name,x}'"]
        found = load_config([BARE, *given]).launch
        assert (found.workdir, found.image) == ("/data/moe_30b", "moe_30b")
        assert load_config([BARE, r"launch.workdir='\${oc.env:HOME}'"]).launch.workdir == "${oc.env:HOME}"
