"""Input files that the fuzzer damages: tables, configurations of models and of users, curves, plan folders."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

from compiler.render.assets import folder
from tests.fuzz_words import GROUPS, NUMBERS, STARTS, Made, start, value

PLAN = "plan"
GOLDEN = Path(__file__).parent / "golden" / "mixtral_train" / "plan"
"""Stands for the folder of a compiled plan, of which a case gets a copy."""
PIPE = b"<pipe>"
"""Content of a file that is to be a named pipe."""

HF = Path(__file__).parent / "data" / "hf"


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """A file as an editor, a network or a bad program leaves it."""
    at = rng.randint(0, max(0, len(data) - 1))
    line = data.split(b"\n")
    return rng.choice(
        (
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data[:at],
            lambda: data[:at] + bytes([rng.randint(0, 255)]) + data[at + 1 :],
            lambda: (
                data[:at] + rng.choice((b"\0", b"\x1b[31m", b"\xff", b'"', b"'", b"\r", b"\xe2\x80\xae")) + data[at:]
            ),
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.replace(b"\n", b"\r"),
            lambda: data.decode(errors="replace").encode("utf-16"),
            lambda: data.decode(errors="replace").encode("latin-1", errors="replace"),
            lambda: data[:at] + value(rng).encode(errors="surrogatepass") + data[at:],
            lambda: b"\n".join(rng.sample(line, len(line))),
            lambda: data + data,
            lambda: b"",
            lambda: b"\n" * 1000 + data,
            lambda: data[:at] + b"9" * 200_000 + data[at:],
            lambda: PIPE,
            lambda: b"x" * (2**24 + 1),
        )
    )()


def _maybe(rng: random.Random, data: bytes) -> bytes:
    return _damaged(rng, data) if rng.random() < 0.4 else data


def inventory(rng: random.Random) -> Made:
    """Hosts of the cluster, and what else a table may hold."""
    names = ("leaf", "rack ²", "", "1", "pod,x", 'q"', "a\tb", "x" * 400, "9" * 5000)
    rows = ["host,leaf,pod,rack"]
    for number in range(rng.choice((0, 1, 2, 2, 2, 3, 16))):
        cells = [
            f"n{number}" if rng.random() < 0.95 else rng.choice(("n0", "a b", *names)),
            *rng.choices(names[:4] if rng.random() < 0.9 else names, k=3),
        ]
        rows.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    args = [*start(rng), "hardware.inventory=hosts.csv", f"launch.spare_nodes={rng.choice('0001')}"]
    return "compiler", args, {"hosts.csv": _maybe(rng, "\n".join(rows).encode() + b"\n")}


def loads(rng: random.Random) -> Made:
    """Measured loads of experts."""
    rows = [f"{rng.choice((0, 0, 1, '²', 1e3))},{rng.choice((i, i, i, -1))},{rng.choice(NUMBERS)}" for i in range(8)]
    clean = [f"0,{i},{i + 1}" for i in range(64)]
    text = "\n".join(["layer,expert,load", *(rows if rng.random() < 0.5 else clean)])
    return "compiler", [*STARTS[0], "scheduler=[]", "experts.load=load.csv"], {"load.csv": _maybe(rng, text.encode())}


def _hostile(rng: random.Random) -> Any:
    """A value of YAML or JSON in the place of another."""
    deep: Any = []
    for _ in range(rng.choice((10, 60, 200))):
        deep = [deep]
    scalars: tuple[Any, ...] = (
        0,
        1,
        -1,
        1.5,
        1e308,
        10**18,
        10**25,
        True,
        False,
        None,
        "",
        "a",
        "1",
        [],
        {},
        [1],
        {"a": 1},
        {"a": None},
    )
    return rng.choice((*scalars, deep, "\x1b[31m", "\u202e", "a\nb", "x" * 100_000, list(range(3000))))


def _changed(rng: random.Random, data: Any) -> Any:
    """A nested value with one entry changed, dropped or added."""
    if isinstance(data, dict) and data and rng.random() < 0.9:
        name = rng.choice(sorted(data))
        doing = rng.random()
        if doing < 0.15:
            return {other: entry for other, entry in data.items() if other != name}
        if doing < 0.25:
            return {**data, rng.choice(("nope", "nodes", "defaults", "", "a.b", "${x}")): _hostile(rng)}
        return {**data, name: _changed(rng, data[name])}
    if isinstance(data, list) and data and rng.random() < 0.7:
        at = rng.randrange(len(data))
        return [*data[:at], _changed(rng, data[at]), *data[at + 1 :]]
    return _hostile(rng)


def hf_config(rng: random.Random) -> Made:
    """A model's own file, changed in places."""
    data = json.loads(rng.choice(sorted(HF.glob("*.json"))).read_text())
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = _changed(rng, data)
    text = json.dumps(data).replace("1e+308", rng.choice(("1e+308", "1e999", "NaN", "Infinity", "9" * 5000)))
    args = ["hardware=h200", "hardware.nodes=4", "parallel=tp8_dp4", "scheduler=[]", "model.hf_config=config.json"]
    return "compiler", args, {"config.json": _maybe(rng, text.encode())}


BOMB = b"\n".join(
    [b"a0: &a0 [x, x]", *(b"a%d: &a%d [*a%d, *a%d]" % (i, i, i - 1, i - 1) for i in range(1, 40)), b"nodes: *a39"]
)
YAMLS = (
    BOMB,
    b"nodes: &a [*a]\n",
    b"nodes: " + b"[" * 3000,
    b"nodes: 0x" + b"f" * 5000,
    b"nodes: " + b"9" * 5000,
    b"nodes: !!python/object:os.system 4\n",
    b"nodes: !!binary aGVsbG8=\n",
    b"? [a, b]\n: 1\n",
    b"<<: {nodes: 3}\n",
    b"# @package nope\nnodes: 3\n",
    b"# @package\nnodes: 3\n",
    b"nodes: 3\n---\nnodes: 4\n",
    b"defaults: [lab]\n",
    b"defaults: {a: b}\n",
    b"defaults: [{a: b, c: d}]\n",
    b"defaults: [_self_, _self_]\n",
    b"nodes: ${hardware.nodes}\n",
    b"nodes: ${nodes}\n",
    b"nodes: ${..nodes}\n",
    b"name: ${name}\n",
    b"{}\n",
    b"[]\n",
    b"1\n",
    b"null\n",
    b'name: "a\\0b"\n',
    b'name: "\\ud800"\n',
    b'name: "\\e[31m"\n',
)


def config_dir(rng: random.Random) -> Made:
    """A file of the user's own in a group, or the primary one."""
    group = rng.choice([name for name in GROUPS if name != "expect"])
    files = sorted((folder("conf") / group).glob("*.yaml"))
    source = rng.choice(files)
    data = yaml.safe_load(source.read_text())
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = _changed(rng, data)
    text = rng.choice(YAMLS) if rng.random() < 0.25 else _maybe(rng, yaml.safe_dump(data).encode())
    head = b"# @package scheduler.mine\n" if group == "scheduler" and rng.random() < 0.5 else b""
    args = [*start(rng), "--config-dir", "mine", f"{group}=lab"]
    if rng.random() < 0.15:
        primary = rng.choice(
            (b"defaults: [rankplan_schema]\n", b"defaults: [rankplan_schema, _self_]\n", b"{}\n", text)
        )
        return (
            "compiler",
            [*args, "--config-name", "first"],
            {f"mine/{group}/lab.yaml": text, "mine/first.yaml": primary},
        )
    return "compiler", args, {f"mine/{group}/lab.yaml": head + text}


def calibration(rng: random.Random) -> Made:
    """Measured curves, changed in places."""
    data = yaml.safe_load((folder("conf") / "calibration" / rng.choice(("h200.yaml", "a100_80gb.yaml"))).read_text())
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = _changed(rng, data)
    args = [*rng.choice(STARTS[:3]), "scheduler=[]", "hardware.calibration=mine.yaml"]
    return "compiler", args, {"mine.yaml": _maybe(rng, yaml.safe_dump(data).encode())}


def measurements(rng: random.Random) -> Made:
    """What `calibrate` fits."""
    gemm = ["m,n,k,dtype,seconds", *(f"{2**i},4096,4096,bf16,{1e-5 * 2**i}" for i in range(8))]
    nccl = [
        *(f"#  Rank  {i} Group 0" for i in range(8)),
        *(f"  {2**i}  {2**i}  float  sum  -1  {2 ** (i - 9)}.5  0" for i in range(16, 26)),
    ]
    changed = [
        line.replace(rng.choice(line.split(",")), rng.choice(NUMBERS)) if rng.random() < 0.2 else line for line in gemm
    ]
    files = {"gemm.csv": "\n".join(changed).encode(), "all_reduce.txt": "\n".join(nccl).encode()}
    name = rng.choice(sorted(files))
    files[name] = _maybe(rng, files[name])
    more = rng.choice(([], [], ["--nope"], ["/dev/null"], ["nope"]))
    return "compiler.calibrate", [name, "--hardware", "h200", "--out", "curves.yaml", *more], files


def plan_folder(rng: random.Random) -> Made:
    """`show`, `prove`, `check` and `diff` of a plan folder with a file changed: `files` are laid over a copy of a plan."""
    name = rng.choice(("plan.json", "slots.csv", "config.yaml"))
    data = plan_file(name)
    if name == "plan.json" and rng.random() < 0.6:
        data = json.dumps(_changed(rng, json.loads(data))).encode()
    query = rng.choice(
        ("rank=1", "rank=0", "group=ep/0", "group=tp/1", "slot=0", "host=n1", "rank=-1", "x", f"rank={value(rng)}")
    )
    files = {f"{PLAN}/{name}": _damaged(rng, data) if rng.random() < 0.7 else data}
    return (*_asked(rng, query), files)


def _asked(rng: random.Random, query: str) -> tuple[str, list[str]]:
    """A command that reads the folder."""
    form = rng.choice(([], ["--json"]))
    return rng.choice(
        (
            ("compiler.show", [PLAN, query, *form, *rng.choice(([], ["--all"]))]),
            ("compiler.prove", [PLAN]),
            ("compiler.check", [PLAN, *form]),
            ("compiler.diff", [PLAN, *rng.choice(([str(GOLDEN)], [PLAN], ["name=other"])), *form]),
            ("compiler.diff", [str(GOLDEN), PLAN, *form]),
        )
    )


def plan_file(name: str) -> bytes:
    """A file of the golden plan that is copied."""
    return (GOLDEN / name).read_bytes()
