"""The chosen framework's own rules."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks import known
from compiler.frameworks.adapter import adapter
from compiler.frameworks.uncosted import uncosted
from compiler.invariants.registry import declared, laid_out
from compiler.specs.config import Config
from compiler.world import World


@declared
def of_the_configuration(config: Config) -> Iterator[Check]:
    """What the framework says of degrees, model and workload."""
    yield from adapter(config.framework.name).declared(config)


@declared
def untold(config: Config) -> Iterator[Check]:
    """Keys of training that a framework has no argument for: it would do otherwise than the plan costs."""
    workload, own = config.workload, adapter(config.framework.name)
    if not workload.train:
        return
    modules = workload.recompute_modules if workload.recompute == "selective" else ()
    asked = {f"workload.states.{name}={value}": name in own.states for name, value in workload.states.changed.items()}
    asked |= {f"workload.recompute_modules=[{module}]": module in own.modules for module in modules}
    for key, heard in asked.items():
        yield check(
            "framework-untold",
            heard,
            key.removeprefix("workload."),
            "what the framework can be told",
            f"{key}: {config.framework.name} has no argument for it",
            f"leave {key.partition('=')[0]} out",
        )


@declared
def arguments(config: Config) -> Iterator[Check]:
    """Arguments that the framework's parser stops at, and those that costs do not follow."""
    own = adapter(config.framework.name)
    yield from known.unknown(config, own.written(config), abbreviates=own.abbreviates)
    yield from uncosted(config)


UNREAD = {
    "version": ("none",),
    "args": ("none",),
    "expert_layout": ("vllm", "sglang", "maxtext"),
}
"""Keys of `framework`, and the frameworks that never read them; the others say themselves what they cannot do."""


@declared
def unread(config: Config) -> Iterator[Check]:
    """A key that the framework has no use for changes nothing."""
    name, moe = config.framework.name, config.model.moe
    for key, without in UNREAD.items():
        value = getattr(config.framework, key)
        if value and (name in without or (key == "expert_layout" and not moe)):
            what = f"framework={name}" if name in without else f"{config.model.name}, which has no experts"
            yield check(
                "framework-setting",
                False,
                f"framework.{key}={value}",
                "none",
                f"framework.{key}={str(value).replace(' ', '')} has no effect on {what}",
                f"leave framework.{key} out",
                otherwise="warn",
            )


@laid_out
def of_the_ranks(world: World) -> Iterator[Check]:
    """What the framework says of ranks and where they sit."""
    yield from adapter(world.config.framework.name).laid_out(world)
