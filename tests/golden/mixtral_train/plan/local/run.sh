#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 101aeb63e725d2c3ac0b015ebb77b7448402960cf23c61d037a4a2504008465d
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
  RANKPLAN_DIGEST=f611674c47c556c37816ecfaf330b516db76be73c0bc306dd074be1cfc66864f \
  python3 -I -S "$plan/runtime/spawn.py" --all
