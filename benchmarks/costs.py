"""CPU and memory of costing: 100,000 plans at once, and one plan with its schedule replayed.

    python -m benchmarks.costs [--plans N]

Every figure is of a process of its own, and also given as a multiple of a fixed piece of numpy that is measured in turn with it,
so that figures of two machines, or of one whose speed drifts, can be held against each other.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.compile import Run, run

LIMITS = {"many": 6.0, "many_rss_gb": 2.0, "one": 0.1}
"""CPU as parts of the reference's, which takes 0.5 to 1.2 s by the machine: milliseconds are the machine's own."""
RUNS = 3

REFERENCE = """
import time, numpy as np
x = np.linspace(1.0, 2.0, 1_000_000)
start = time.process_time()
for _ in range(100):
    np.log(np.exp(x) + x)
print(time.process_time() - start)
"""

MANY = """
import itertools, time, numpy as np
from compiler.speed import calibrated
from compiler.config.load import load_config
from compiler.costs.many import Many
from compiler.costs.project import project
config = load_config(["workload=train", "model=deepseek_v3", "model.num_hidden_layers=96", "hardware=h100_80gb"])
by = calibrated.of(config)
axes = ([1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 4, 8, 16], [1, 2, 3], [1, 2, 4, 8, 16, 32, 64, 128, 256], [1, 2, 4], range(64, 2048, 32))
found = (p for p in itertools.product(*axes) if p[0] * p[1] * p[6] % (p[4] * p[5]) == 0)
columns = np.array(list(itertools.islice(itertools.cycle(found), {plans})), dtype=float).T
start = time.process_time()
found = project(config, Many(*columns), by)
print(time.process_time() - start)
assert all(len(values) == {plans} and np.isfinite(values).all() for values in found.values())
"""

ONE = """
import statistics, time
from compiler.speed import calibrated
from compiler.config.load import load_config
from compiler.costs.total import cost
from compiler.frameworks.lay_out import lay_out
config = load_config({overrides!r})
by = calibrated.of(config)
world = lay_out(config)
cost(world, by)
times = []
for _ in range(7):
    start = time.process_time()
    cost(world, by)
    times.append(time.process_time() - start)
print(statistics.median(times))
"""

PLANS = {
    "DeepSeek-V3, 2048 GPUs, DualPipe": [
        "workload=train", "model=deepseek_v3", "hardware=h100_80gb", "hardware.nodes=256", "workload.schedule=dualpipe",
        "parallel=ep64_etp1_pp16_adp128", "workload.global_batch_size=15360", f"parallel.stages=[{','.join(['4'] * 13 + ['3'] * 3)}]",
    ],
    "Llama 405B, 1024 GPUs, 16 stages of 4 chunks": [
        "workload=train", "model=llama3_1_405b", "hardware=h100_80gb", "hardware.nodes=128", "parallel=tp8_pp16_vpp4_adp8",
        "workload.global_batch_size=512", f"parallel.stages=[{','.join(['2'] * 62 + ['1'] * 2)}]",
    ],
    "Qwen3 235B served by 32 GPUs": [
        "model=qwen3_235b_a22b", "hardware=h100_80gb", "hardware.nodes=4", "parallel=ep32_etp1_tp4_adp8",
    ],
}  # fmt: skip


def in_turn(code: str) -> tuple[float, float, float]:
    """Medians of what a process prints (CPU seconds), of it over the reference, and of peak resident GB."""
    found: list[tuple[Run, Run]] = [(run(["-c", code]), run(["-c", REFERENCE])) for _ in range(RUNS)]
    spent = [float(mine.output) for mine, _ in found]
    ratios = [float(mine.output) / float(reference.output) for mine, reference in found]
    return statistics.median(spent), statistics.median(ratios), max(mine.rss_bytes for mine, _ in found) / 1e9


def main() -> int:
    """Print every figure; 1 where one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--plans", type=int, default=100_000, help="plans that are costed at once")
    args = parser.parse_args()
    seconds, ratio, resident = in_turn(MANY.format(plans=args.plans))
    print(f"{args.plans:,} plans: {seconds:.2f} s CPU ({ratio:.2f} of the reference), {resident:.2f} GB")
    bad = ["many"] * (ratio > LIMITS["many"]) + ["many_rss_gb"] * (resident > LIMITS["many_rss_gb"])
    for name, overrides in PLANS.items():
        seconds, ratio, _ = in_turn(ONE.format(overrides=overrides))
        print(f"{name}: {1e3 * seconds:.1f} ms CPU ({ratio:.4f} of the reference)")
        bad += [name] * (ratio > LIMITS["one"])
    print("over the limit: " + ", ".join(bad) if bad else "every figure is within its limit")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
