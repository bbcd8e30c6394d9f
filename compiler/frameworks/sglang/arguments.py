"""SGLang's options in `framework.args`, each by one name."""

from __future__ import annotations

from compiler.frameworks.options import options
from compiler.specs.config import Config

ALIASES = {
    "--model": "--model-path",
    "--tensor-parallel-size": "--tp-size",
    "--pipeline-parallel-size": "--pp-size",
    "--data-parallel-size": "--dp-size",
    "--attention-data-parallel-size": "--attn-dp-size",
    "--attention-context-parallel-size": "--attn-cp-size",
    "--moe-data-parallel-size": "--moe-dp-size",
    "--decode-context-parallel-size": "--dcp-size",
    "--expert-parallel-size": "--ep-size",
    "--ep": "--ep-size",
    "--nccl-init-addr": "--dist-init-addr",
}
"""Other spellings of an option -> the one that we write (`arg_groups/fields/`)."""

DECIDED = (
    "--tp-size --pp-size --attn-dp-size --attn-cp-size --enable-prefill-cp --ep-size --moe-dp-size "
    "--init-expert-location --nnodes --node-rank --dist-init-addr"
).split()
"""Options that a plan decides, also where it leaves them at their defaults."""

SPANNING = "ascend_fuseep deepep deepep_v2 flashinfer flashinfer_megamoe megamoe mooncake mori nixl pplx".split()
"""All-to-all back ends that set ep_size to tp_size without a word (`arg_groups/overrides.py _a2a_ep_size`)."""


def given(config: Config) -> dict[str, str]:
    """Option -> value."""
    return options(config.framework.args, ALIASES)


def backend(args: dict[str, str]) -> str:
    """The all-to-all back end; `--enable-waterfill` asks for DeepEP itself."""
    chosen = args.get("--moe-a2a-backend", "none")
    waterfill = "--enable-waterfill" in args and chosen not in ("deepep", "megamoe")
    return "deepep" if waterfill else chosen
