#!/usr/bin/env bash
# Kills a run with SIGKILL at random moments, lets it go on, and compares every hash with those of
# an undisturbed run.
#
#   tests/kill.sh [ROUNDS] [SEED] [CONFIG]
#
# Needs nothing but bash and a built workspace; exits with the number of rounds that differed. XTASK names a
# program to use instead of building one.
set -euo pipefail

rounds=${1:-30}
RANDOM=${2:-1}
root=$(cd "$(dirname "$0")/.." && pwd)
config=$(realpath "${3:-$root/tests/tiny.toml}")

if [ -z "${XTASK:-}" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" --package xtask
fi
xtask=$(realpath "${XTASK:-${CARGO_TARGET_DIR:-$root/target}/debug/xtask}")
export CANDLE_NUM_THREADS=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

pipeline=("$xtask" --quiet pipeline --config "$config" --run)

begin=$(date +%s%N)
"${pipeline[@]}" undisturbed 2> log || { cat log; exit 1; }
whole=$((($(date +%s%N) - begin) / 1000000))
echo "an undisturbed run takes $whole ms"

different=0
for ((round = 1; round <= rounds; round++)); do
    # $RANDOM has 15 bits; two of them make a moment anywhere in the run.
    moment=$(((RANDOM * 32768 + RANDOM) % whole))
    rm -rf run
    "${pipeline[@]}" run 2> /dev/null &
    process=$!
    sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
    kill -KILL "$process" 2> /dev/null || true
    wait "$process" 2> /dev/null || true
    caught=$(cd run 2> /dev/null && ls -d ./*.partial 2> /dev/null | tr '\n' ' ' || true)
    "${pipeline[@]}" run 2> log || { cat log; exit 1; }
    result=same
    # The report says when it was made.
    for stage in ingest tokenize train evaluate generate; do
        cmp --silent "undisturbed/$stage/manifest.json" "run/$stage/manifest.json" || result=DIFFERENT
    done
    leftovers=$(find run -maxdepth 1 \( -name '*.partial*' -o -name '*.old' -o -name '*.tmp' \))
    [ -z "$leftovers" ] || result="LEFTOVERS $leftovers"
    [ "$result" = same ] || different=$((different + 1))
    echo "round $round: killed after $moment ms ${caught:-between stages}: $result"
done
echo "$((rounds - different)) of $rounds ended in the same bits"
exit "$different"
