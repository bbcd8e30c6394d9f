"""Files that a user gives: what is taken, and what is said of the others, with the line."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from compiler.commands import prove, show
from compiler.config.messages import HELP
from compiler.errors import LONGEST, ConfigError, Problem, line
from compiler.inputs import file, json_object, table, yaml_mapping
from tests.command import BARE, call, refused

HOSTS = "host,leaf,pod,rack\n" + "".join(f"n{i},l,p,r\n" for i in range(128))
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)) + "nodes: *a39\n"
MARK = b"\xef\xbb\xbf"
SINGLE: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}


def said(run: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        run()
    return str(caught.value)


class TestFile:
    def test_line_ends_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        for data in (b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", MARK + b"a\nb\n"):
            path.write_bytes(data)
            assert file.text("it", path, "x") == "a\nb\n"

    @pytest.mark.parametrize("kind", SINGLE)
    def test_what_is_no_file_is_not_waited_for(self, tmp_path: Path, kind: str) -> None:
        SINGLE[kind](tmp_path / "a")
        assert "it cannot be read: it is a " in said(lambda: file.text("it", tmp_path / "a", "x"))

    @pytest.mark.parametrize("name", ["nope", "a\0b", "~nobody_of_that_name/a", "x" * 5000])
    def test_a_path_that_names_none(self, tmp_path: Path, name: str) -> None:
        assert "it cannot be read: " in said(lambda: file.text("it", name, "x"))

    def test_a_large_one_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "a").open("wb") as made:
            made.truncate(10 * 2**30)
        assert "it has 10,737,418,240 bytes or more" in said(lambda: file.text("it", tmp_path / "a", "x"))

    def test_the_line_of_a_byte_that_is_no_utf_8(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"a\nb\nd\xe9j\xe0\n")
        assert said(lambda: file.text("it", tmp_path / "a", "x")) == (
            "it line 3 holds the byte 0xe9, which is not UTF-8 ; write it as UTF-8"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\0\n", "it line 2 holds a NUL"),
        (f"a,b\n1,2\n{'x' * 200_000},2\n", "it line 3 is no CSV: field larger than field limit"),
        ('a,b\n1,"2\n', "it line 2 is no CSV: unexpected end of data"),
        ("a\n1\n", "it has no column b"),
        ("", "it has no column a, b"),
        ("a,b,a\n", "it has the column a twice"),
    ],
)
def test_a_table_that_is_none(text: str, message: str) -> None:
    assert message in said(lambda: table.read("it", text, ("a", "b")))


def test_a_table_with_short_and_long_rows_and_blank_lines() -> None:
    assert table.read("it", 'a,b\n\n1\n"x\ny",2,3\n', ("a", "b")) == (
        ["a", "b"],
        [(3, {"a": "1", "b": ""}), (5, {"a": "x\ny", "b": "2"})],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "it holds the key a twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is beyond any number"),
        ('{"a": ' + "9" * 5000 + "}", "it holds an integer of 5000 digits"),
        ('{"a": ' + "[" * 100_000, "it is nested too deep"),
        ("[1]", "it holds no JSON object"),
        ("", "it is not JSON"),
    ],
)
def test_json_that_is_none(text: str, message: str) -> None:
    assert message in said(lambda: json_object.read("it", text, "x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "it line 13: with aliases written out, and 1,000 bytes for each value, it has more than 16,777,216"),
        ("a: &a [*a]\n", "it line 1: *a holds itself"),
        ("a: &a {b: *a}\n", "it line 1: *a holds itself"),
        ("a:\n- " + "[" * 60 + "]" * 60, "it line 2 is nested more than 50 deep"),
        ("a: " + "[" * 5000, "it is no YAML at line 1: exceeded maximum nesting depth"),
        ("a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 200) + "]\n", "it line 2: with aliases written out"),
        ("a: 1\nb: 0x" + "f" * 5000, "it is no YAML at line 2: an integer of 5002 digits"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "it is no YAML at line 4: found duplicate key c"),
        ("a: *b\n", "it is no YAML at line 1: found undefined alias"),
        ("a: \0\n", "it is no YAML: control characters are not allowed"),
        ("a: 1\n---\nb: 1\n", "it is no YAML at line 2"),
        ("? [a]\n: 1\n", "it is no YAML at line 1: found unhashable key"),
        ("a: !!python/object:os.system 4\n", "it is no YAML at line 1: could not determine a constructor"),
        ("- a\n", "it holds no mapping of keys to values"),
    ],
)
def test_yaml_that_is_none(text: str, message: str) -> None:
    assert message in said(lambda: yaml_mapping.read("it", text))


def test_yaml_may_use_anchors() -> None:
    text = "a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n"
    assert yaml_mapping.read("it", text) == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    assert yaml_mapping.read("it", "") == {}


class TestWhereTheyAreNamed:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (HOSTS.replace("n5,l", "n5,²").encode(), ""),
            (MARK + HOSTS.encode(), ""),
            (HOSTS.replace("\n", "\r").encode(), ""),
            (HOSTS.replace("n5,", "n5\0,").encode(), "hardware.inventory=hosts.csv line 7 holds a NUL"),
            (HOSTS.replace("n5,l", "n5,\x1b[31m").encode(), "line 7: leaf=\\x1b[31m is no name"),
            (HOSTS.replace("n5,l", "n5," + "9" * 5000).encode(), "line 7: leaf=9999"),
            (HOSTS.replace("n5,l", "n5," + "9" * 200_000).encode(), "line 7 is no CSV: field larger"),
        ],
        ids=["two", "mark", "returns", "nul", "escape", "digits", "field"],
    )
    def test_an_inventory(self, tmp_path: Path, data: bytes, message: str) -> None:
        (tmp_path / "hosts.csv").write_bytes(data)
        if message:
            assert message in refused(tmp_path, BARE, "hardware.inventory=hosts.csv", code=2).err
        else:
            assert call(BARE, "hardware.inventory=hosts.csv", cwd=tmp_path).code == 0

    @pytest.mark.parametrize("key", ["hardware.inventory", "model.hf_config", "experts.load", "hardware.calibration"])
    def test_a_pipe(self, tmp_path: Path, key: str) -> None:
        (tmp_path / "here").mkdir()
        os.mkfifo(tmp_path / "a.yaml")
        (line,) = refused(tmp_path / "here", BARE, f"{key}=../a.yaml", code=2).errors
        assert line.startswith(
            f"error: {key}=../a.yaml cannot be read: it is a pipe, a socket or a device, not a file ; "
        )

    @pytest.mark.parametrize("text", [BOMB, "nodes: " + "[" * 9999, "name: " + "x" * (17 * 2**20)])
    def test_a_group_file(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "hardware").mkdir()
        (tmp_path / "hardware" / "lab.yaml").write_text(text)
        (line,) = refused(tmp_path, BARE, "--config-dir", ".", "hardware=lab", code=2).errors
        assert f"{tmp_path}/hardware/lab.yaml" in line

    def test_a_primary_file_without_self_warns_of_nothing(
        self, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        (tmp_path / "first.yaml").write_text("defaults: [rankplan_schema]\nname: mine\n")
        refused(tmp_path, "--config-dir", ".", "--config-name", "first", code=2)
        assert not recwarn.list


@pytest.mark.parametrize("main", [show.main, prove.main])
@pytest.mark.parametrize("name", ["nope", "x" * 5000, "/dev/null", "\udcff", "\x1b[31m"])
def test_a_plan_folder_that_is_none(
    main: Callable[[list[str]], NoReturn], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, *["rank=0"] * (main is show.main)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert " is no plan folder: it has no " in line
    assert line.isprintable()


class TestTerminal:
    def test_a_line_shows_what_no_terminal_obeys(self) -> None:
        problem = Problem("a\x1b[31m\r\nb\x07\u202e\udcff\x9b", "write\té 日本")
        assert str(problem) == r"a\x1b[31m b\x07\u202e\udcff\x9b ; write é 日本"

    @pytest.mark.parametrize("value", ["x" * 100_000, "a " * 100_000, "\x1b" * 2500])
    def test_a_long_one_loses_its_middle_and_keeps_its_fix(self, value: str) -> None:
        said = str(Problem(f"start {value} end", "write this"))
        assert len(said) <= LONGEST
        assert said.startswith("start ")
        assert said.endswith(" end ; write this")
        assert " ... " in said

    def test_a_short_one_stays_whole(self) -> None:
        assert line("x" * 100, 100) == "x" * 100

    @pytest.mark.parametrize("key", ["name", "hardware.name", "hardware", "nope", "out"])
    def test_what_is_printed(self, tmp_path: Path, key: str) -> None:
        ran = call(BARE, f"{key}='a\x1b[31m\u202eb'", cwd=tmp_path)
        assert ran.code in (0, 2)
        assert all(line.isprintable() for line in (ran.out + ran.err).split("\n"))

    def test_a_configuration_that_is_shown(self, tmp_path: Path) -> None:
        ran = call(BARE, "launch.environment.A='\u202eb'", "--cfg", "job", "-p", "launch", cwd=tmp_path)
        assert r"A: \u202eb" in ran.out
        ran = call(BARE, "--cfg", "job", "-p", "hydra.nope", cwd=tmp_path)
        assert (ran.code, ran.err) == (2, f"error: package 'hydra.nope' not found in config ; {HELP}\n")


class TestHydra:
    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (["launch.command=[" + ",".join("a" * 9000) + "]"], "overrides with 9,"),
            ([f"launch.environment.A{i}=a" for i in range(2001)], "2,002 overrides with"),
            (["launch.command=" + "[" * 500 + "]" * 500], "a value is nested too deep"),
            (["name=${name}"], "name: Recursive interpolation detected"),
            (["launch.environment=${model.name}"], "launch.environment=${model.name} brings moe_30b ; write its own"),
            (["launch.environment=${site.slurm}"], "launch.environment=${site.slurm} brings {'gpu_request'"),
            (["hardware.node=${model}"], "hardware.node=${model} brings {'name': 'moe_30b'"),
            (["framework.args=${model.name}"], "framework.args=${model.name} brings moe_30b"),
            (["workload.precision=${model}"], "is a list or a mapping ; write one of "),
            (["workload.precision={a: 1}"], "workload.precision={'a': 1} is a list or a mapping ; write one of "),
            (["workload.precision=[bf16]"], "workload.precision=['bf16'] is a list or a mapping ; write one of "),
            (["workload.output_length=${parallel}"], "workload.output_length: While dereferencing"),
            (
                ["framework.args=${workload.sequence_lengths}"],
                "framework.args=${workload.sequence_lengths} brings [128",
            ),
            (["hardware.nodes=${model.name}"], "hardware.nodes: While dereferencing"),
            (["-m", "workload=a,shuffle(1,2)"], "workload=a,shuffle(1,2) sweeps within a sweep"),
            (["-m", "parallel.tp=range(1,1000000000)"], "the sweep has more than 10,000 jobs"),
            (["-m", "model=glob(zz*)"], "the sweep has no jobs"),
            (["parallel.tp=range(1,3)"], "parallel.tp=range(1,3) has several values"),
            (["hardware@model=x"], "hardware@model is not a setting"),
            (["hydra/launcher=nope"], "hydra/launcher=nope is not known"),
        ],
    )
    def test_what_it_trips_over(self, tmp_path: Path, overrides: list[str], message: str) -> None:
        assert message in refused(tmp_path, BARE, *overrides, code=2).err
