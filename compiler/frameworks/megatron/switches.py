"""Options of the user's, and of the plan's dispatch, that only some degrees or other options allow."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks.megatron.keys import KEYS
from compiler.frameworks.megatron.options import effective, given, optimizer_instances, source
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """One check for each of them that is given."""
    yield from _bare(config)
    yield from _values(config)


@rule
def _bare(config: Config) -> Iterator[Check]:
    """Options that are asked for by their name: option, what it needs, whether that holds."""
    user, degrees = effective(config), config.degrees
    needs = (
        ("--no-overlap-p2p-communication", "pp above 2 with vpp", degrees.vpp == 1 or degrees.pp > 2, "arguments.py"),
        ("--tp-comm-overlap", "sequence parallelism", config.sequence_parallel and degrees.tp > 1, "arguments.py"),
        ("--defer-embedding-wgrad-compute", "pp above 1", degrees.pp > 1, "model_parallel_config.py"),
        (
            "--overlap-moe-expert-parallel-comm",
            "ep above 1, vpp with pp, an alltoall or flex dispatcher, no fp32, no full recompute, one MTP layer at most",
            _dispatch_overlaps(config),
            "transformer_config.py",
        ),
        (
            "--moe-shared-expert-overlap",
            "an alltoall or flex dispatcher, and no workload.overlapped_dispatch",
            not config.workload.overlapped_dispatch and _dispatcher(config) in (("alltoall",), ("flex",)),
            "transformer_config.py",
        ),
        (
            "--delay-wgrad-compute",
            "workload.overlapped_dispatch=true",
            config.workload.overlapped_dispatch,
            "transformer_config.py",
        ),
        ("--sharp-enabled-group", "--use-sharp", "--use-sharp" in user, "parallel_state.py"),
    )
    for flag, need, holds, module in needs:
        if flag in user:
            yield _switch(config, flag, need, holds, module)


def _dispatch_overlaps(config: Config) -> bool:
    degrees, model, workload = config.degrees, config.model, config.workload
    return (
        degrees.ep > 1
        and workload.precision != "fp32"
        and model.num_nextn_predict_layers <= 1
        and (degrees.pp == 1 or degrees.vpp > 1)
        and _dispatcher(config) in (("alltoall",), ("flex",))
        and workload.recompute != "full"
    )


def _dispatcher(config: Config) -> tuple[str, ...]:
    return effective(config).get("--moe-token-dispatcher-type", ("alltoall",))[-1:]


@rule
def _values(config: Config) -> Iterator[Check]:
    """Options of which one value alone needs something: option and value, whether it is given, what it needs, whether that holds."""
    user, degrees, model = effective(config), config.degrees, config.model
    needs = (
        (
            "--moe-token-dispatcher-type flex",
            _dispatcher(config) == ("flex",),
            "etp*ep above 1",
            model.moe and degrees.etp * degrees.ep > 1,
            "moe/token_dispatcher.py",
        ),
        (
            "--transformer-impl inference_optimized",
            user.get("--transformer-impl") == ("inference_optimized",) and model.moe,
            "etp=1",
            degrees.etp == 1,
            "transformer_config.py",
        ),
        (
            "--sharp-enabled-group dp_replica",
            user.get("--sharp-enabled-group") == ("dp_replica",),
            "--num-distributed-optimizer-instances above 1",
            optimizer_instances(config) > 1,
            "parallel_state.py",
        ),
    )
    for flag, asked, need, holds, module in needs:
        if asked:
            yield _switch(config, flag, need, holds, module)


def _switch(config: Config, flag: str, need: str, holds: bool, module: str) -> Check:
    name = flag.split(" ", maxsplit=1)[0]
    ours = name not in given(config)
    key = f"workload.{KEYS[name].name}" if ours else "framework.args"
    return check(
        f"megatron-{name.removeprefix('--')}",
        holds=holds,
        observed=config.degrees.name,
        limit=need,
        message=f"{key}: {flag} needs {need} ({source(config, module)}); the plan is {config.degrees.name}",
        fix=f"leave {key if ours else flag} out",
    )
