#!/usr/bin/env bash
# One corpus by one process, by the ranks of `mpirun`, and by the tasks of a real Slurm array: the same manifest, which has the
# hash of every table.
#
#   tests/ingest_shards.sh target/debug/xtask
#
# Needs what tests/slurm.sh needs, and the Debian package openmpi-bin.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SLURM_CONF:-}" ]; then
  program=$(realpath "${1:?the program: target/debug/xtask}")
  exec "$here/slurm.sh" "$here/ingest_shards.sh" "$program"
fi
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir texts
for file in 1 2 3; do
  awk -v file="$file" 'BEGIN { srand(file); for (i = 0; i < 60000; i++) {
    line = "text " int(rand() * 40000); n = 2 + int(rand() * 20); for (j = 0; j < n; j++) line = line " word" int(rand() * 99); print line } }' \
    >"texts/$file.txt"
done
cp "$here/tiny.toml" c.toml
corpus='{ sources = ["texts", { kind = "synthetic", documents = 20000 }], steps = ["whitespace", "exact-duplicates", "near-duplicates"] }'
ingest=("$program" ingest --quiet --config c.toml --set "corpus=$corpus")

"${ingest[@]}" --run runs/one
mpirun --allow-run-as-root --oversubscribe -n 3 "${ingest[@]}" --run runs/mpi --shard auto
"${ingest[@]}" --run runs/mpi --merge 3
job=$(printf '%q ' "${ingest[@]}" --run runs/slurm --shard auto)
sbatch --quiet --wait --array=1-5 --output=/dev/null --wrap "$job"
"${ingest[@]}" --run runs/slurm --merge 5

for run in mpi slurm; do
  cmp runs/one/ingest/manifest.json "runs/$run/ingest/manifest.json"
  echo "$run: $(ls -d runs/$run/shards/* | wc -l) shards, the manifest of one process"
done
