#!/usr/bin/env bash
# Runs a command beside a real Slurm of one node and two CPUs, which lives in a temporary folder on
# this machine and goes away with the command.
#
#   tests/slurm.sh COMMAND ARGS..
#
# Needs the Debian packages munge, slurmctld, slurmd and slurm-client, but no systemd, no cgroups,
# no root and no service of theirs running. The command finds Slurm through SLURM_CONF, beside which
# the daemons' logs lie, and its exit code is the script's.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND ARGS.." >&2; exit 2; }

# Debian puts the daemons where only root looks.
PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${pair%:*}" > /dev/null || missing+=("${pair#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing: apt-get install ${missing[*]}" >&2
    exit 2
fi

# Nothing here may reach a Slurm that this machine belongs to, nor be set by a job of it.
unset "${!SLURM@}" "${!SBATCH@}" "${!SRUN@}" "${!SQUEUE@}" "${!SCANCEL@}" "${!SINFO@}"

user=$(id -un)
host=$(hostname -s)
work=$(realpath "$(mktemp -d -t slurm.XXXXXX)")
config=$work/slurm.conf
daemons=()
ready=

# What began with this SLURM_CONF in its environment: slurmstepd, which leaves slurmd's group, what
# jobs run, and what the command left in the background.
leftover() {
    grep -lsxzF "SLURM_CONF=$config" /proc/[0-9]*/environ | cut -d / -f 3
}

cleanup() {
    trap '' INT TERM HUP
    set +e
    local i pid pids
    # Jobs first, while Slurm still knows of them.
    if [ -n "$ready" ]; then
        timeout 5 scancel --quiet --user="$user" --state=PENDING
        timeout 5 scancel --quiet --user="$user" --full --signal=KILL
        for ((i = 0; i < 10; i++)); do
            [ -n "$(timeout 5 squeue --noheader --format=%A)" ] || break
            sleep 0.1
        done
    fi > /dev/null 2>&1
    # Or what looks for leftovers were one.
    unset SLURM_CONF
    # The state goes with the folder, so nothing is worth an orderly end. Each daemon leads a group,
    # which takes slurmctld's helper along.
    for pid in "${daemons[@]}"; do kill -KILL -- "-$pid"; done 2> /dev/null
    wait "${daemons[@]}" 2> /dev/null
    # Again, for what one of them started meanwhile.
    for ((i = 0; i < 10; i++)); do
        pids=$(leftover)
        [ -n "$pids" ] || break
        for pid in $pids; do kill -KILL "$pid"; done 2> /dev/null
        sleep 0.1
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

fail() {
    echo "$1" >&2
    tail -n 30 "$work"/*.log >&2
    exit 1
}

# Waits until a command succeeds, no longer than half a minute or a daemon's life.
await() {
    local end=$((SECONDS + 30))
    until "${@:2}" > /dev/null 2>&1; do
        [ "$(jobs -pr | wc -l)" = ${#daemons[@]} ] || fail "a daemon ended"
        [ $SECONDS -lt $end ] || fail "$1"
        sleep 0.1
    done
}

# A session of its own keeps a Ctrl-C meant for the command away from the daemon.
start() {
    setsid "$@" < /dev/null >> "$work/$1.log" 2>&1 &
    daemons+=($!)
}

free() { ! (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
while port=$((20000 + RANDOM % 10000)); ! free "$port" || ! free $((port + 1)); do :; done

mkdir "$work/state" "$work/spool"

# Before 24.05 slurmd cannot be told to do without cgroups, but the plugin for version 1 touches
# none unless another plugin asks.
version=$(slurmd -V | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
if printf '24.05\n%s\n' "$version" | sort -CV; then cgroup=disabled; else cgroup=cgroup/v1; fi
echo "CgroupPlugin=$cgroup" > "$work/cgroup.conf"

cat > "$config" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge

StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid

# No cgroups: a job's processes are its group, so that those which outlive the job's script still
# end with it, as on a cluster; linuxproc would lose sight of them.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none

# CPUs are counted but not bound, and there are two of them whatever the machine has.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=2
MinJobAge=300
ReturnToService=2

NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=4096 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

# --force: the folder may be one that munged finds too open, such as one below a shared /tmp.
(umask 077 && head -c 1024 /dev/urandom > "$work/munge.key")
start munged --foreground --force --socket="$work/munge.socket" \
    --key-file="$work/munge.key" --pid-file="$work/munged.pid" --seed-file="$work/munged.seed"
await "munged does not answer" eval "munge --socket='$work/munge.socket' --no-input"

export SLURM_CONF=$config
start slurmctld -D
start slurmd -D
idle() { [ "$(timeout 5 sinfo --noheader --format=%T)" = idle ]; }
await "the node does not become idle" idle
ready=yes

"$@"
