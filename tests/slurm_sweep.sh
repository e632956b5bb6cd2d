#!/usr/bin/env bash
# A sweep of three settings and three seeds as the tasks of a real Slurm array, whose command and tasks are killed on the
# way, twice: the table, and every stage, must be those of an undisturbed sweep on this machine.
#
#   tests/slurm_sweep.sh target/debug/xtask
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SLURM_CONF:-}" ]; then
  program=$(realpath "${1:?the program: target/debug/xtask}")
  exec "$here/slurm.sh" "$here/slurm_sweep.sh" "$program"
fi
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Its threads spin where they wait, and here are more of them than cores.
export CANDLE_NUM_THREADS=1

for place in here slurm; do
  mkdir "$folder/$place"
  cp "$here/tiny.toml" "$folder/$place"
  cat >"$folder/$place/s.toml" <<'SWEEP'
config = "tiny.toml"
seeds = [1, 2, 3]
set = { "corpus.sources" = { kind = "synthetic", documents = 3000 }, "evaluate.samples" = 500 }
measures = ["test-nll", "distinct-2"]
[grid]
"train.batch_size" = [8, 16, 24]
SWEEP
done

cd "$folder/here"
"$program" sweep s.toml --jobs 2 --quiet 2>/dev/null
echo "on this machine: $(ls -d runs/s/*/seed-* | wc -l) runs"

cd "$folder/slurm"
sweep=("$program" sweep s.toml --backend slurm --jobs 2 --quiet)
for round in 1 2; do
  "${sweep[@]}" 2>"$folder/said" &
  command=$!
  # Two runs further, two tasks are in the midst of theirs.
  enough=$((2 * round))
  for ((i = 0; i < 3000; i++)); do
    [ "$(ls -d runs/s/*/seed-*/report 2>/dev/null | wc -l)" -lt $enough ] || break
    sleep 0.1
  done
  kill -KILL $command
  wait $command 2>/dev/null || true
  if [ $round = 1 ]; then
    # The first task that is found is killed; the other goes on without the command.
    for ((i = 0; i < 300; i++)); do
      ! pkill -KILL -o -f -- "$folder/slurm.* --task" || break
      sleep 0.1
    done
    echo "round 1: the command and a task killed"
  else
    scancel --me
    echo "round 2: the command and the whole array killed"
  fi
done
"${sweep[@]}" 2>"$folder/said" || { cat "$folder/said"; exit 1; }
cat "$folder/said"

cmp "$folder/here/runs/s/sweep.json" runs/s/sweep.json
for run in runs/s/*/seed-*; do
  for stage in ingest tokenize train evaluate generate; do
    cmp "$run/$stage/manifest.json" "$folder/here/$run/$stage/manifest.json"
  done
done
echo "equal: the table and the manifests of $(ls -d runs/s/*/seed-* | wc -l) runs"
