#!/bin/sh
# Runs bin/medfsad with the libtorch of a Python that has torch @TORCH@, or with the one that LIBTORCH names.
# What this machine lacks is said with its remedy, and the exit code is 3.
set -u

torch=@TORCH@
glibc=@GLIBC@
driver="/proc/driver/nvidia/version"
newline='
'

# Asked without importing torch, which takes seconds.
question='
import importlib.metadata, importlib.util, os
print(importlib.metadata.version("torch"))
print(os.path.dirname(importlib.util.find_spec("torch").origin))
'

# Says what is wrong and what to do.
refuse() {
    printf 'error: %s; %s\n' "$1" "$2" >&2
    exit 3
}

check_machine() {
    machine="$(uname -s) $(uname -m)"
    [ "$machine" = "Linux x86_64" ] ||
        refuse "this machine is $machine, and bin/medfsad runs on Linux x86_64 only" \
            "build medfsad there from source"
}

# Where nothing tells the version, the loader decides.
check_glibc() {
    command -v getconf >/dev/null 2>&1 || return 0
    told=$(getconf GNU_LIBC_VERSION 2>/dev/null)
    case $told in
    "glibc "[0-9]*.[0-9]*) found="glibc ${told#glibc }" ;;
    *) found="no glibc" ;;
    esac
    { [ "$found" != "no glibc" ] && is_at_least "${told#glibc }" "$glibc"; } ||
        refuse "this machine has $found, and bin/medfsad needs glibc $glibc or newer" \
            "use a newer system or container, or build medfsad there from source"
}

# Whether a version such as 2.36 is another one or newer, by number: 2.9 is older than 2.36.
is_at_least() {
    minor=${1#*.}
    minor=${minor%%[!0-9]*}
    [ "${1%%.*}" -gt "${2%%.*}" ] || { [ "${1%%.*}" -eq "${2%%.*}" ] && [ "$minor" -ge "${2#*.}" ]; }
}

# Sets `home` to the folder of a fitting torch, `anew` and `with_cuda` to how another one of that kind is got.
find_torch() {
    if [ -n "${LIBTORCH:-}" ]; then
        take_named
    elif [ -n "${MEDFSAD_PYTHON:-}" ]; then
        try_pythons "$MEDFSAD_PYTHON"
    else
        try_pythons python3 python
    fi
    [ -e "$home/lib/libtorch_cpu.so" ] || refuse "$home/lib has no libtorch_cpu.so" "$anew"
}

take_named() {
    anew="set LIBTORCH to a libtorch $torch folder with lib in it, or unset it to use the torch of a Python"
    with_cuda="set LIBTORCH to the folder of one with CUDA"
    home=$(CDPATH='' cd -- "$LIBTORCH" 2>/dev/null && pwd) ||
        refuse "there is no folder LIBTORCH=$LIBTORCH" "$anew"
    version=$(stated_version)
    [ -z "$version" ] || [ "${version%%+*}" = "$torch" ] ||
        refuse "LIBTORCH=$LIBTORCH is torch $version, and bin/medfsad needs exactly $torch" "$anew"
}

# The version that a file of a libtorch folder or of a torch package states; nothing where there is none.
stated_version() {
    if [ -r "$home/build-version" ]; then
        read -r told <"$home/build-version"
        printf '%s' "${told:-}"
    elif [ -r "$home/version.py" ]; then
        while read -r word equals told; do
            told=${told#[\'\"]}
            [ "$word $equals" != "__version__ =" ] || printf '%s' "${told%[\'\"]}"
        done <"$home/version.py"
    fi
}

# Takes the first of these Pythons that has the right torch.
try_pythons() {
    first=
    reasons=
    for program; do
        ask "$program" && return
    done
    other="name one that has it: MEDFSAD_PYTHON=/path/to/python"
    [ -z "$first" ] ||
        refuse "no torch $torch is found: $reasons" \
            "install it: $first -m pip install torch==$torch, or $other"
    [ -z "${MEDFSAD_PYTHON:-}" ] ||
        refuse "no Python is found: MEDFSAD_PYTHON=$MEDFSAD_PYTHON is no program" "correct it, or unset it"
    refuse "no Python is found (python3 or python)" \
        "install Python 3 and torch: python3 -m pip install torch==$torch, or $other"
}

# Whether a Python has the right torch; if not, `reasons` says why.
ask() {
    python=$(command -v "$1") && [ -f "$python" ] && [ -x "$python" ] || return
    case $python in
    /*) ;;
    *) python=$PWD/$python ;;
    esac
    first=${first:-$1}
    reasons=${reasons:+$reasons, }
    # Elsewhere a folder that happens to be called torch would be taken for the package.
    if ! answer=$(cd / && "$python" -c "$question" 2>/dev/null </dev/null); then
        reasons="$reasons$1 has no torch"
        return 1
    fi
    version=${answer%%"$newline"*}
    home=${answer#*"$newline"}
    anew="install it anew: $1 -m pip install --force-reinstall torch==$torch"
    with_cuda="get the CUDA wheel from PyPI: ${anew#*: } --index-url https://pypi.org/simple"
    [ "${version%%+*}" = "$torch" ] || {
        reasons="$reasons$1 has torch $version"
        return 1
    }
}

wants_cuda() {
    before=
    for arg; do
        case $arg in
        --device=cuda | --device=cuda:*) return 0 ;;
        cuda | cuda:*) [ "$before" != --device ] || return 0 ;;
        esac
        before=$arg
    done
    return 1
}

check_cuda() {
    [ -e "$driver" ] ||
        refuse "--device cuda: no NVIDIA driver is loaded, $driver is missing" \
            "install it, let the container see the GPU, or use --device cpu"
    [ -e "$home/lib/libtorch_cuda.so" ] ||
        refuse "--device cuda: $home/lib has no libtorch_cuda.so, so this torch is for CPUs only" \
            "$with_cuda, or use --device cpu"
}

# torch/lib, and the libraries of NVIDIA's wheels beside torch.
library_path() {
    printf '%s' "$home/lib"
    for folder in "${home%/*}"/nvidia/*/lib; do
        [ ! -d "$folder" ] || printf ':%s' "$folder"
    done
}

here=$(readlink -f -- "$0")
here=${here%/*}
check_machine
check_glibc
find_torch
if wants_cuda "$@"; then check_cuda; fi
LD_LIBRARY_PATH=$(library_path)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
# Threads that wait leave their core to other processes.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
# Benchmarks and reports lie in the bundle, or below the current folder where the bundle cannot be written to.
if [ -z "${MEDFSAD_HOME+set}" ]; then
    MEDFSAD_HOME=$PWD
    [ ! -w "$here" ] || MEDFSAD_HOME=$here
    export MEDFSAD_HOME
fi
exec "$here/bin/medfsad" "$@"
