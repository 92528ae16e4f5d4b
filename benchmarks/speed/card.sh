#!/bin/sh
# Everything to be measured on a card, what matters most first, in one command of at most nine minutes. Results are
# written as they come, so that a run that is cut short has lost nothing.
#
#     benchmarks/speed/card.sh [RESULTS] [DEVICE]      from a bundle's folder; or MEDFSAD=program benchmarks/speed/card.sh
#
# DEVICE is cuda, cuda:N, or cpu, which does the same with small networks.
set -u
results=${1:-card-results}
device=${2:-cuda}
mkdir -p "$results" || exit 1
results=$(cd "$results" && pwd)
program=${MEDFSAD:-./medfsad}
python=${MEDFSAD_PYTHON:-python3}
started=$(date +%s)
failed=0

# Runs what follows its name for at most so many seconds; its output is shown and kept.
step() {
    name=$1
    limit=$2
    shift 2
    printf '\n== %s, at %s s\n' "$name" "$(($(date +%s) - started))"
    if timeout -k 5 "$limit" "$@" >"$results/$name.log" 2>&1; then verdict=ok; else verdict="exit $?"; failed=1; fi
    tail -n "${SHOWN:-60}" "$results/$name.log"
    printf '== %s: %s, %s s in all\n' "$name" "$verdict" "$(($(date +%s) - started))" | tee -a "$results/steps.txt"
}

case $device in
cpu)
    step selftest 300 "$program" selftest --device cpu --quick --out "$results/selftest.json"
    step speed 300 "$program" bench-speed --device cpu --python "$python" --backbone resnet18 --size 64 --shots 2 \
        --epoch 64,32 --repeats 2 --out "$results/speed.json"
    scale="--bench quick"
    ;;
*)
    step selftest 150 "$program" selftest --device "$device" --out "$results/selftest.json"
    step speed 150 "$program" bench-speed --device "$device" --python "$python" --precision f32,tf32,bf16 \
        --epoch 4500,1000 --out "$results/speed.json"
    scale="--bench slice"
    ;;
esac

# The full benchmark's pictures, drawn small, and a slice of its cells.
slice() {
    # shellcheck disable=SC2086
    step "$1" "$2" "$program" bench $scale --device "$device" --out "$results/$1" $3
}
if [ "$device" != cpu ]; then
    step phantom 60 "$program" phantom --scale full --out "$results/raw"
    step build 60 "$program" build-dataset --raw "$results/raw" --out "$results/medfsad"
    scale="$scale --manifest $results/medfsad"
fi
slice slice 120 "--method d24fad"
slice slice-bf16 60 "--method d24fad --precision bf16"
exit $failed
