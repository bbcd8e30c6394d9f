"""Command lines and files that nobody should write, made from a seed: the same seed and number give the same case."""

from __future__ import annotations

import json
import random
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from compiler.render.assets import folder
from compiler.specs.config import Config

PLAN = "plan"
GOLDEN = Path(__file__).parent / "golden" / "mixtral_train" / "plan"
"""Stands for the folder of a compiled plan, of which a case gets a copy."""
PIPE = b"<pipe>"
"""Content of a file that is to be a named pipe."""

NUMBERS = [
    *"0 1 2 3 7 8 16 64 1000 1024 100000 1000000 1000000000 1e9 1e12 1e18 1e21 1e100 1e308 -1 -8 -0.0 0.5 1.5 0.1 1e-9 1e-300 "
    "nan inf -inf 007 0x10 1_000 9999999999999999999999 ² ١٢".split(),
    "9" * 400,
    "9" * 5000,
]
TEXTS = (
    "",
    "a",
    "null",
    "true",
    "no",
    "???",
    "~",
    "-",
    ".",
    "..",
    "/",
    "/dev/zero",
    "/dev/null",
    "a=b",
    "a b",
    " a",
    "it's",
    '"a',
    "$(id)",
    "`id`",
    "${model}",
    "${model.name}",
    "${nope}",
    "${oc.env:HOME}",
    "${oc.env:RANKPLAN_NOPE}",
    "${",
    "$}",
    "\\",
    "{",
    "}",
    "[",
    "[[]]",
    "[[slurm]]",
    "[]",
    "{}",
    "{a:1}",
    "{a:{b:[1,{c:2}]}}",
    "[1,2",
    "a,b",
    "1,2",
    "range(1,4)",
    "range(1,1000000000)",
    "choice(a,b)",
    "glob(*)",
    "interval(0,1)",
    "sort(3,1)",
    "shuffle(1,2)",
    "int(x)",
    "@",
    "#",
    ";",
    "é",
    "日本",
    "\U0001f600",
    "\u202eevil",
    "\x1b[31mred\x07",
    "a\rb",
    "a\nb",
    "a\tb",
    "\x7f",
    "\x9b",
    "\udcff",
    "x" * 300,
    "x" * 20_000,
    "x" * 120_000,
    "[" * 200 + "]" * 200,
    "[" * 5000,
    ",".join("a" * 3000),
    "[" + ",".join("1" * 3000) + "]",
)
STARTS = (
    ("hardware=generic_64gb", "hardware.nodes=2", "parallel=tp2_ep2_dp4"),
    ("model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "parallel=tp8_dp2"),
    ("model=mixtral_8x7b", "hardware=h100_80gb", "hardware.nodes=2", "parallel=ep8_tp2", "workload=train"),
    ("model=qwen3_30b_a3b", "hardware=h200", "hardware.nodes=1", "parallel=tp4_dp2", "framework=vllm"),
    ("model=qwen3_30b_a3b", "hardware=h200", "hardware.nodes=1", "parallel=tp4_ep2_dp1", "framework=sglang"),
    (
        "model=llama3_1_8b",
        "hardware=h100_80gb",
        "hardware.nodes=1",
        "parallel=tp2_dp4",
        "framework=megatron",
        "workload=train",
    ),
    ("parallel=ep16_tp4_pp4_dp4",),
)
SCHEDULERS = (
    "[]",
    "[]",
    "[slurm]",
    "local",
    "[slurm,kubernetes_job]",
    "jobset",
    "lws",
    "trainjob",
    "volcano",
    "mpijob",
)
GROUPS = "hardware model parallel workload framework scheduler site launch expect".split()
ODD_KEYS = (
    "",
    "=",
    "a",
    "hardware.",
    ".hardware",
    "hardware..nodes",
    "hardware.nodes.x",
    "hardware.gpu",
    "hardware@model",
    "hardware@",
    "model@_global_",
    "+hardware",
    "++hardware.nodes",
    "~hardware",
    "~hardware.nodes",
    "~nope",
    "+nope.a",
    "++nope",
    "hydra.run.dir",
    "hydra.verbose",
    "hydra.searchpath",
    "hydra.sweep.dir",
    "hydra.output_subdir",
    "hydra.job.chdir",
    "hydra/launcher",
    "hydra/job_logging",
    "hydra",
    "defaults",
    "rankplan_schema",
    "name",
    "out",
    "sweep",
    "expect.claims",
    "workload.pools",
    "workload.pools.prefill",
    "launch.environment.A",
    "launch.secrets.A",
    "site.slurm.directives.comment",
    "site.kubernetes.node_selector.a",
    "scheduler.slurm.partition",
    "scheduler.kubernetes_job.namespace",
    "expect.claims.0.id",
    "parallel.stages[0]",
    "'model'",
    "módel",
    "model name",
    "model.name\x1b",
    "x" * 3000,
    ".".join("a" * 400),
)
"""Values and keys that have been trouble somewhere."""

HF = Path(__file__).parent / "data" / "hf"


@dataclass(frozen=True)
class Case:
    """Arguments of `program` (`compiler`, `compiler.show`, ...) and the files beside it."""

    kind: str
    args: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    program: str = "compiler"


def case(seed: int, number: int, kinds: tuple[str, ...] = ()) -> Case:
    """One of the kinds, in turn."""
    names = kinds or tuple(KINDS)
    kind = names[number % len(names)]
    rng = random.Random(f"{seed} {number}")
    program, args, files = KINDS[kind](rng)
    return Case(kind, tuple(args), files, program)


Made = tuple[str, list[str], dict[str, bytes]]


def leaves(spec: Any = Config, path: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted key of the schema and its type, in order."""
    hints = typing.get_type_hints(spec)
    for item in fields(spec):
        key = f"{path}{item.name}"
        yield key, str(hints[item.name])
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], f"{key}.")


TYPES = dict(leaves())
KEYS = tuple(TYPES)


def start(rng: random.Random) -> list[str]:
    """A plan that compiles."""
    return [*rng.choice(STARTS), f"scheduler={rng.choice(SCHEDULERS)}"]


def value(rng: random.Random) -> str:
    return rng.choice(NUMBERS if rng.random() < 0.5 else TEXTS)


def near(rng: random.Random, name: str) -> str:
    """A value of a key's own type, so that it is refused by more than its type, or not at all."""
    kind = TYPES.get(name, "")
    if "bool" in kind:
        return rng.choice(("true", "false"))
    if "list" in kind:
        return rng.choice(("[]", "[1,2]", "[a]", "['a b']", "[4096]", "['\x1b[31m']", "['\u202ea,b']"))
    if "int" in kind:
        return rng.choice("1 2 3 4 5 7 8 16 64 100 1000 4096 100000 1000000000".split())
    if "float" in kind:
        return rng.choice("0.001 0.1 0.5 1 2 1000 1e6 1e9 80e9 3e12 1e15 1e18".split())
    return rng.choice([text for text in TEXTS if len(text) < 400])


def odd(rng: random.Random) -> str:
    """An override of any key."""
    name = key(rng)
    return f"{name}={near(rng, name) if rng.random() < 0.6 else value(rng)}"


def key(rng: random.Random) -> str:
    return rng.choice((*GROUPS, *ODD_KEYS) if rng.random() < 0.3 else KEYS)


def overrides(rng: random.Random) -> Made:
    """One to three values that are odd, or keys."""
    made = [odd(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if rng.random() < 0.1:
        made.append(rng.choice(("", "a", "=", "==", "~", "~model", "+", "a:b", value(rng))))
    if rng.random() < 0.02:
        made += [f"launch.environment.A{i}={value(rng)[:9]}" for i in range(3000)]
    return "compiler", [*start(rng), *made], {}


def degrees(rng: random.Random) -> Made:
    """Degrees of every spelling, by name and by key."""
    names = "tp cp pp vpp ep etp dp adp tq TP".split()
    sizes = [*"0 1 2 3 4 8 16 64 128 1000000 -1 ² 1.5".split(), "", "9" * 400]
    name = rng.choice("______-+ ").join(
        f"{rng.choice(names)}{rng.choice(sizes[1:7] if rng.random() < 0.9 else sizes)}"
        for _ in range(rng.randint(0, 6))
    )
    extra = [f"parallel.{rng.choice(names)}={rng.choice(sizes)}" for _ in range(rng.choice((0, 0, 1, 2)))]
    return "compiler", [*start(rng), f"parallel={name}", *extra], {}


def options(rng: random.Random) -> Made:
    """The command line's own options."""
    flags = (
        "-m --multirun --help --hydra-help --version --cfg -c --info -i --resolve -p --package --config-dir -cd --config-path "
        "--config-name -cn --shell-completion -sc --run -r --nope -- -".split()
    )
    words = [
        "job",
        "hydra",
        "all",
        "hardware",
        "mine",
        ".",
        "/",
        "/dev/null",
        "config",
        "../x",
        "a/b.yaml",
        *TEXTS[:20],
    ]
    args = start(rng)
    for _ in range(rng.randint(1, 3)):
        flag = rng.choice(flags)
        more = rng.choice(((flag,), (flag, rng.choice(words)), (f"{flag}={rng.choice(words)}",)))
        at = rng.randint(0, len(args))
        args[at:at] = more
    return (
        "compiler",
        args,
        {"mine/hardware/lab.yaml": b"nodes: 2\n", "mine/config.yaml": b"defaults: [rankplan_schema]\n"},
    )


def sweep(rng: random.Random) -> Made:
    """A few jobs, some of them odd."""
    name = key(rng)
    swept = f"{name}={near(rng, name)},{rng.choice((near(rng, name), value(rng)[:200]))}"
    return (
        "compiler",
        [*start(rng), "-m", swept, *[odd(rng)[:300]] * (rng.random() < 0.5)],
        {},
    )


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


KINDS: dict[str, Callable[[random.Random], Made]] = {
    maker.__name__: maker
    for maker in (
        overrides,
        degrees,
        config_dir,
        options,
        inventory,
        hf_config,
        sweep,
        loads,
        calibration,
        measurements,
        plan_folder,
    )
}
