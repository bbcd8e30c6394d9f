#!/usr/bin/env bash
# rankplan: mixtral_8x7b_ep4_etp1_tp2_cp2_pp2_train
# plan 21086f453bc3ee3e5a657d0535c7894470238de293895010d1411ff421afe67b
# degrees ep4_etp1_tp2_cp2_pp2, order tp-cp-ep-dp-pp: 32 ranks, instances: 1
# Starts every rank as a CPU process on this machine: a smoke test of the plan and of its command, from any folder.

set -euo pipefail
plan=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# Ranks read a copy of the plan, which is deleted when the last process that starts them has ended.
outside() { # outside FOLDER: the folder, or the one beside the plan folder that it is in, for a compile replaces that
  local found=$1 above=$1
  while [[ -n $above ]]; do
    if [[ -f $above/manifest.json && -w ${above%/*}/ ]] && grep -qs '^ "rankplan": "' "$above/manifest.json"; then
      found=${above%/*}/
    fi
    above=${above%/*}
  done
  printf '%s' "$found"
}

copy() ( # copy FOLDER TO: what its manifest lists; fails where the plan is compiled again meanwhile, or one is a pipe
  mkdir -p -- "$2" && cd -- "$1" && [[ ! -e manifest.json || -f manifest.json ]] || exit
  mapfile -t files < <(sed -n 's/^  "\(.*\)": "[0-9a-f]\{64\}",\{0,1\}$/\1/p' manifest.json)
  for file in "${files[@]}"; do
    [[ ! -e $file || -f $file ]] || exit # cp names one that is missing
  done
  printf '%s\n' manifest.json "${files[@]}" | xargs -d '\n' cp --parents --target-directory="$2" --
)

keep() { # keep FOLDER TO: a copy of one plan, whole or not at all
  local try
  for try in 1 2 3; do
    rm -rf -- "$2" "$2.part"
    ! copy "$1" "$2.part" || { mv -T -- "$2.part" "$2" && return; }
    sleep "$try"
  done
  return 1
}

here=$(outside "$PWD")
[[ $here == "$PWD" ]] || echo "rankplan: $PWD is in a plan folder, which a compile replaces: running in $here" >&2
cd -- "$here"
own=$(mktemp -d "${TMPDIR:-/tmp}/rankplan-XXXXXX")
exec 9> >( (trap '' HUP INT QUIT TERM USR1 USR2 && cat && rm -rf -- "$own") <&0 >/dev/null 2>&1 &)
keep "$plan" "$own/plan" || { echo "rankplan: the files of $plan cannot be copied to $own: one is missing or no regular file" >&2 && exit 64; }
plan=$own/plan

environment=(
  'NCCL_IB_HCA==mlx5_0,mlx5_1'
)

exec env \
  --unset=MASTER_PORT \
  "${environment[@]}" \
  RANKPLAN_PLAN="$plan" \
  RANKPLAN_DIGEST=f7346e624345404e0a4400c3eac22d67ccb7b9ac94dfb85708ac01bae2c3e91a \
  python3 -I -S "$plan/runtime/spawn.py" --all
