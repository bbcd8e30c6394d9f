"""Servers that are told to forget what they have computed, in a plan that counts on finding it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.checks import Check, check, rule
from compiler.frameworks.told import words
from compiler.specs.config import Config

_REUSE = "kv_cache_config.enable_block_reuse"

OFF: Mapping[str, tuple[str, ...]] = {
    "vllm": ("--no-enable-prefix-caching",),
    "sglang": ("--disable-radix-cache",),
    "tensorrt_llm": tuple(f"--{file}.{_REUSE} false" for file in ("config", "extra_llm_api_options")),
}
"""Options, with the value where they have one, without which each of these servers keeps prefixes by itself."""


def _is(text: str, option: str) -> bool:
    """However it is spelt: with underscores, in capitals, or SGLang's by its beginning."""
    plain, wanted = (each.replace("_", "-").lower() for each in (text, option))
    return plain == wanted or (wanted.startswith(plain) and len(plain) >= len("--disable-rad"))


@rule
def prefixes(config: Config) -> Iterator[Check]:
    """Nothing where no part of a prompt is said to be found, or where another server fills the cache."""
    workload = config.workload
    if workload.train or not workload.prefix_share or workload.role == "decode":
        return
    said = [" ".join((item.name, *item.values)) for item in words(config.framework.args)]
    off = [text for text in said if any(_is(text, name) for name in OFF.get(config.framework.name, ()))]
    share = f"workload.prefix_share={workload.prefix_share:g}"
    yield check(
        "prefix-cache",
        holds=not off,
        observed=", ".join(off) or "kept",
        limit="prefixes that the server keeps",
        message=f"{share} of each prompt is found in the cache"
        + (f", and framework.args ({', '.join(off)}) has the server forget it" if off else ""),
        fix=f"leave {' '.join(off)} out of framework.args, or write workload.prefix_share=0",
    )
