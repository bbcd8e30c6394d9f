#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 4d5436b98473436a7164b27c7906959e26d880c4a2152e197135beaa0b97ae15
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
  RANKPLAN_DIGEST=672b8cb18d2acae672341c33bcf4d78a767d868ae28f29ef7a386d9527c395ca \
  python3 -I -S "$plan/runtime/spawn.py" --all
