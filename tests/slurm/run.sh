#!/usr/bin/env bash
# A bench through Slurm, on a cluster of this one machine: arrays, a job that waits for it and collects, one task
# killed, and a second submission that completes it to the numbers of an undisturbed local run.
#
#   cargo build --release && sudo tests/slurm/run.sh [target/release/medfsad]
#
# Needs root, and Debian's slurm-wlm and munge, which it installs where apt-get can; leaves no daemon behind.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
medfsad=$(realpath "${1:-$root/target/release/medfsad}")

say() { printf '\n== %s\n' "$*"; }

if [ "$(id -u)" != 0 ]; then
    echo "this script starts Slurm's daemons, for which it must be root" >&2
    exit 2
fi
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -q slurm-wlm munge >/dev/null 2>&1; then
        echo "SKIPPED: slurm-wlm and munge are not here and apt-get cannot install them" >&2
        exit 77
    fi
fi

work=$(mktemp -d)
finish() {
    for name in slurmd slurmctld munged; do
        if [ -e "$work/$name.pid" ]; then kill "$(cat "$work/$name.pid")" 2>/dev/null || true; fi
    done
    sleep 1
    rm -rf "$work"
}
trap finish EXIT

say "starting munge, slurmctld and slurmd"
host=$(hostname -s)
mkdir -p "$work"/{munge,state,spool}
# munged wants its folders closed to others.
chmod 755 "$work"
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 700 "$work/munge"
chmod 600 "$work/munge/key"
chmod 755 "$work/munge"
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munged.pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed"
cat >"$work/slurm.conf" <<CONF
ClusterName=medfsad
SlurmctldHost=$host
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$work/completed.txt
ReturnToService=2
MaxArraySize=12
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$work/slurm.conf"
slurmctld
slurmd
for _ in $(seq 30); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then break; fi
    sleep 1
done
sinfo

cd "$work"
export MEDFSAD_CACHE="$work/cache"
cat >short.toml <<'TOML'
name = 'short'
spec = 'phantom'
size = 64
methods = ['d24fad', 'patchcore']
tasks = ['rsna', 'lag']
shots = [2]
draws = 2
seeds = [1]
episode_seed = 1
teacher_seed = 1
[settings.d24fad]
backbone = 'resnet18'
epochs = 2
batch = 16
learning_rate = 1e-3
[settings.patchcore]
backbone = 'resnet18'
TOML

say "the same bench in one process, to compare"
"$medfsad" bench --bench short.toml --teacher random --device cpu --out local | tail -2

wait_for() {
    while squeue --noheader --jobs="$1" 2>/dev/null | grep -q .; do sleep 1; done
}
submit() {
    "$medfsad" bench submit --engine slurm --jobs "$(nproc)" --max-array-size 12 --bench short.toml --teacher random --device cpu --out shared | tail -1 | tee submitted
    array=$(sed -n 's/^submitted arrays* \([0-9]*\).*/\1/p' submitted)
    collect=$(sed -n 's/.* and job \([0-9]*\),.*/\1/p' submitted)
}

say "submitting"
submit
sleep 1
squeue --format='%.10i %.16j %.10T %.20E'

say "killing the first task of the array, which trains"
sleep 2
scancel --signal=KILL "${array}_1"
wait_for "$collect"
cat shared/jobs/collect.log | tail -2
# One line per task that has ended: number in the array, state, exit code.
sed 's/.*JobState=\([A-Z]*\).*ArrayTaskId=\([0-9]*\).*ExitCode=\([0-9:]*\).*/task \2 \1 \3/; s/^JobId=.*JobState=\([A-Z]*\).*/collect \1/' \
    completed.txt | sort -k2 -n

say "submitting again: only what is missing"
submit
wait_for "$collect"
tail -3 shared/jobs/collect.log

say "comparing"
sha256sum local/results/metrics.csv shared/results/metrics.csv
cmp local/results/metrics.csv shared/results/metrics.csv
echo "equal"
