#!/usr/bin/env bash
# Runs that processes make together, under a real MPI: the manifests of one process, which have the hash of every file; and
# a process that is killed ends the others within five seconds, after which another number of processes comes to the same.
#
#   cargo build --package xtask --features mpi
#   tests/mpi.sh target/debug/xtask [KILLS [CONFIG...]]
#
# Needs the Debian packages libopenmpi-dev, openmpi-bin and libclang-dev.
set -euo pipefail
program=$(realpath "${1:?a program with MPI: target/debug/xtask}")
kills=${2:-20}
here=$(cd "$(dirname "$0")" && pwd)
configs=("${@:3}")
[ ${#configs[@]} -gt 0 ] || configs=("$here/tiny.toml" "$here/tiny-seqgan.toml")
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

make() { # run, processes, config
  local pipeline=("$program" --quiet --threads 1 pipeline --config "$3" --set train.replicas=4 --run "$folder/$1")
  case $2 in
    none) "${pipeline[@]}" ;;
    *) mpirun --oversubscribe -n "$2" "${pipeline[@]}" ;;
  esac 2>>"$folder/log"
}

same() { # run, other: the report alone has the date in it
  for stage in ingest tokenize train evaluate generate; do
    cmp "$folder/$1/$stage/manifest.json" "$folder/$2/$stage/manifest.json"
  done
}

for config in "${configs[@]}"; do
  rm -rf "$folder"/run-*
  make run-none none "$config"
  for processes in 1 2 3 4; do
    make "run-$processes" "$processes" "$config"
    same run-none "run-$processes"
  done
  echo "$config: 1, 2, 3 and 4 processes and none of MPI: the same manifests"
done

config=${configs[0]}
begin=$(date +%s%N)
rm -rf "$folder/run-none"
make run-none none "$config"
whole=$(($(date +%s%N) - begin))
worst=0 early=0
for ((kill = 1; kill <= kills; kill++)); do
  rm -rf "$folder/run-killed"
  processes=$((2 + kill % 3))
  make run-killed "$processes" "$config" &
  job=$!
  # At any moment of a run, which several processes on few cores make slower than one.
  sleep "$(awk -v kill="$kill" -v kills="$kills" -v whole="$whole" 'BEGIN { print 0.3 + whole * kill / kills / 1e9 }')"
  mapfile -t found < <(pgrep -f "^$program .*--run $folder/run-killed" | sort -n)
  if [ ${#found[@]} -eq 0 ]; then
    wait "$job"
    early=$((early + 1))
  else
    victim=${found[$((kill % ${#found[@]}))]}
    begin=$(date +%s%N)
    kill -9 "$victim" 2>/dev/null || true
    wait "$job" || true
    took=$(((($(date +%s%N) - begin)) / 1000000))
    [ "$took" -gt "$worst" ] && worst=$took
    [ "$took" -le 5000 ] || { echo "the others lived for $took ms"; exit 1; }
  fi
  make run-killed $((1 + kill % 4)) "$config"
  same run-none run-killed
done
echo "$kills kills ($early after the end): the others ended within $worst ms, and other numbers of processes came to the same"
