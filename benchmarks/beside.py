"""AIConfigurator beside ours: CPU seconds and results of a search for one model, cluster and load.

    python -m benchmarks.beside [--aiconfigurator PROGRAM]

DeepSeek-V3 in FP8 on 64 H200, TensorRT-LLM, prompts of 4,000 tokens and answers of 1,000, at most 2 s to the first token and 50 ms to each further one.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory

OURS = (
    *("parallel=auto", "framework=tensorrt_llm", "model=deepseek_v3", "hardware=h200", "hardware.nodes=8"),
    *("workload.sequence_lengths=[4000]", "workload.output_length=1000", "workload.precision=fp8"),
    *("search.ttft_s=2", "search.tpot_s=0.05"),
)
THEIRS = (
    *("cli", "default", "--model", "deepseek-ai/DeepSeek-V3", "--total-gpus", "64", "--system", "h200_sxm"),
    *("--backend", "trtllm", "--isl", "4000", "--osl", "1000", "--ttft", "2000", "--tpot", "50"),
)


def spent(command: Sequence[str], folder: str) -> tuple[str, float, float]:
    """What a program says, its CPU seconds, and those on the wall. Raises CalledProcessError."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return said.stdout + said.stderr, used, time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--aiconfigurator", default="aiconfigurator", help="its program, of an environment of its own")
    program = parser.parse_args(argv).aiconfigurator
    with TemporaryDirectory() as folder:
        text, used, wall = spent([sys.executable, "-m", "compiler", *OURS], folder)
        found = re.search(r"(\S+ feasible plans of [\d,]*\d)", text)
        print(f"rankplan: {found[1] if found else 'no plans'}, {used:.1f} s CPU, {wall:.1f} s; {_line(text, 'best ')}")
        if shutil.which(program) is None:
            print(f"{program}: skipped, it is not installed")
            return 0
        text, used, wall = spent([program, *THEIRS], folder)
        results = " + ".join(re.findall(r"completed with (\d+) results", text))
        print(f"aiconfigurator: {results} results, {used:.1f} s CPU, {wall:.1f} s; {_line(text, 'Best Experiment')}")
    return 0


def _line(text: str, start: str) -> str:
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip(" |*").startswith(start)), "")


if __name__ == "__main__":
    sys.exit(main())
