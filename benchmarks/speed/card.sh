#!/bin/sh
# Everything to be measured on a card, what matters most first, in one command that takes about eight minutes. Results
# are written as they come, into few files, so that a run that is cut short has lost nothing.
#
#     benchmarks/speed/card.sh [RESULTS] [DEVICE]      in a bundle's folder, or with MEDFSAD=program elsewhere
#
# DEVICE is cuda, cuda:N, or cpu, which does the same with small networks. MEDFSAD_PYTHON names a Python with torch,
# numpy and scipy, if python3 is not one; MEDFSAD_SCRATCH a folder for pictures and cells.
set -u
results=${1:-card-results}
device=${2:-cuda}
mkdir -p "$results" || exit 1
results=$(cd "$results" && pwd)
scratch=${MEDFSAD_SCRATCH:-$results/scratch}
program=${MEDFSAD:-./medfsad}
python=${MEDFSAD_PYTHON:-python3}
log=$results/card.log
started=$(date +%s)
failed=0

# Runs what follows its name and its most seconds. Its output is kept whole in one log, and the end of it shown.
step() {
    name=$1
    limit=$2
    shift 2
    printf '\n== %s, at %s s\n' "$name" "$(($(date +%s) - started))" | tee -a "$log"
    from=$(wc -l <"$log")
    if timeout -k 5 "$limit" "$@" >>"$log" 2>&1; then
        verdict=ok
    else
        verdict="exit $?"
        failed=1
    fi
    tail -n "+$((from + 1))" "$log" | grep -v '^ok ' | tail -n 40
    printf '== %s: %s, %s s so far\n' "$name" "$verdict" "$(($(date +%s) - started))" | tee -a "$log"
}

speed() {
    what=$1
    most=$2
    shift 2
    step "$what" "$most" "$program" bench-speed --device "$device" --python "$python" --out "$results/$what.json" "$@"
}

bench() {
    what=$1
    most=$2
    shift 2
    step "$what" "$most" "$program" bench --device "$device" --teacher random --out "$scratch/$what" "$@"
}

if [ "$device" = cpu ]; then
    step selftest 300 "$program" selftest --device cpu --quick --out "$results/selftest.json"
    speed speed 300 --backbone resnet18 --size 64 --shots 2 --work train,score,epoch --epoch 64,32 --repeats 2
    bench one-process 300 --bench quick --method d24fad --shots 2
    exit $failed
fi
# The full benchmark's pictures, drawn small.
prepare() {
    "$program" phantom --scale full --out "$scratch/raw" &&
        "$program" build-dataset --raw "$scratch/raw" --out "$scratch/medfsad"
}
mkdir -p "$scratch"
# Nothing else runs beside these: whoever starts the reference's kernels sets its pace.
step selftest 150 "$program" selftest --device "$device" --out "$results/selftest.json"
speed speed 200 --precision f32,tf32,bf16 --repeats 6
speed epoch 170 --precision f32,bf16 --shots 2 --work epoch --epoch 4500,1000
prepare >"$scratch/prepare.log" 2>&1 || { failed=1; cat "$scratch/prepare.log"; }
bench slice 120 --bench slice --manifest "$scratch/medfsad"
bench slice-bf16 70 --bench slice --manifest "$scratch/medfsad" --precision bf16
# Two processes that share a run and a card.
timeout -k 5 90 "$program" bench --device "$device" --teacher random --out "$scratch/two" --bench quick --method d24fad \
    >"$scratch/second.log" 2>&1 &
second=$!
bench two 90 --bench quick --method d24fad
wait "$second" || { failed=1; cat "$scratch/second.log" >>"$log"; }
exit $failed
