#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 26ea5a1da5d50a59ae803045687079eb4973ef2f60acd7bb687b7fee52330183
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
  RANKPLAN_DIGEST=cac9c5d7e677ffd0e95c6c94e6a79480746e2921d57e62071e907be370623859 \
  python3 -I -S "$plan/runtime/spawn.py" --all
