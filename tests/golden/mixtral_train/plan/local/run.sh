#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 16f5001dc15b640e93167e216ec060c1093d7e3e5390204ec1aeda52b0957861
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
  RANKPLAN_DIGEST=24257544a092d399e14004e4911142cebcaf000190260f3efc4dce83ca792431 \
  python3 -I -S "$plan/runtime/spawn.py" --all
