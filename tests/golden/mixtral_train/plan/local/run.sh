#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 6992fd16790764bf5c9ddacc5b65607545735d3cca58651bf8ff7e8693ac70b4
# degrees ep4_etp1_tp2_cp2_pp2, order tp-cp-ep-dp-pp: 32 ranks, instances: 1
# Starts every rank as a CPU process on this machine: a smoke test of the plan and of its command, from any folder.

set -euo pipefail
plan=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

environment=(
  'NCCL_IB_HCA==mlx5_0,mlx5_1'
)

exec env \
  --unset=MASTER_PORT \
  "${environment[@]}" \
  RANKPLAN_PLAN="$plan" \
  RANKPLAN_DIGEST=fd2d01334f8d70789095c49ffdab0d4660a02e241d7b123c0dadb66a862a3e60 \
  python3 -I -S "$plan/runtime/spawn.py" --all
