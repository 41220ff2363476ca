#!/usr/bin/env bash
# Runs the harnesses of this folder under libFuzzer, with the address and undefined-behaviour sanitizers, one after the
# other, each for MINUTES or 10 million inputs, whichever comes first. Ends with a table of inputs and findings; the
# exit status is 1 where there was a finding.
#
#     tests/fuzz/run.sh MINUTES [NAME...]        all of them, or those named: json, table, adapter, ...
#
# Builds in build-fuzz (FUZZ_BUILD=DIR for another place). What was found lies in build-fuzz/findings, inputs that reach
# new code in build-fuzz/inputs/NAME, from where the next run goes on. Where clang has no fuzzer the driver of this
# folder makes the inputs, without looking at what they reach.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'; exit 1; }
minutes=$1
shift
build=$(realpath -m "${FUZZ_BUILD:-build-fuzz}") here=$PWD/tests/fuzz most=10000000
mkdir -p "$build" "$build/findings"
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" peft-fuzz.XXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export PEFT_FIXTURES=$PWD/tests/fixtures
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:intercept_tls_get_addr=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

has_fuzzer() {
    echo 'int LLVMFuzzerTestOneInput(const char *, unsigned long); int LLVMFuzzerTestOneInput(const char *a, unsigned long n) { return !a && n; }' |
        clang -x c -fsanitize=fuzzer,address -o "$TMPDIR/try" - 2>/dev/null
}

run_inputs=with_driver
if has_fuzzer; then
    run_inputs=with_fuzzer
    [ -e "$build/libraries/libcsv.so.3" ] || "$here/libraries.sh" "$build/libraries" >&2
    export LD_LIBRARY_PATH=$build/libraries
    export CC=clang CFLAGS="-fsanitize=fuzzer-no-link -fno-omit-frame-pointer"
    options=(-Dfuzzer=true -Donednn=disabled)
else
    echo "clang has no fuzzer here (Debian: libclang-rt-14-dev): inputs are changed without looking at what they reach" >&2
    options=()
fi
[ -f "$build/meson/build.ninja" ] || LD_LIBRARY_PATH='' meson setup "$build/meson" -Db_sanitize=address,undefined \
    -Db_lundef=false -Doptimization=1 -Ddebug=true "${options[@]}" >&2
LD_LIBRARY_PATH='' ninja -C "$build/meson" fuzz >"$build/build.log" || { tail -n 40 "$build/build.log" >&2; exit 1; }

# The dictionary of a harness, as tests/fuzz/meson.build has it.
dictionary() {
    sed -n "s|^  '$1': \['\([a-z]*\)'.*|$here/dictionaries/\1.dict|p" "$here/meson.build"
}

with_fuzzer() { # NAME: prints the number of inputs
    "$build/meson/tests/fuzz/fuzz_$1" -max_total_time=$((minutes * 60)) -runs=$most -timeout=20 -rss_limit_mb=2500 \
        -malloc_limit_mb=2000 -max_len=16384 -len_control=20 -print_final_stats=1 -dict="$(dictionary "$1")" \
        -artifact_prefix="$build/findings/$1-" "$build/inputs/$1" "$here/corpus/$1" >"$build/$1.log" 2>&1 || true
    sed -n 's/^stat::number_of_executed_units: *//p' "$build/$1.log" | tail -n 1 | grep . || # not after a crash:
        sed -n 's/^#\([0-9]*\)\t.*/\1/p' "$build/$1.log" | tail -n 1
}

with_driver() {
    local end=$((SECONDS + minutes * 60)) done=0 batch=20000
    while [ $SECONDS -lt $end ] && [ $done -lt $most ]; do
        "$build/meson/tests/fuzz/fuzz_$1" "$here/corpus/$1" "$(dictionary "$1")" $batch $done >"$build/$1.log" 2>&1 || {
            cp "$build/$1.log" "$build/findings/$1-$(sed -n 's/^input //p' "$build/$1.log" | tail -n 1)"
            break
        }
        done=$((done + batch))
    done
    echo $done
}

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(sed -n "s/^  '\([a-z_]*\)': \['.*/\1/p" "$here/meson.build")
report=$(printf '%-16s %10s %8s %9s' reader inputs seconds findings) all=0
for name in "${names[@]}"; do
    mkdir -p "$build/inputs/$name"
    before=$(find "$build/findings" -name "$name-*" | wc -l) start=$SECONDS
    inputs=$($run_inputs "$name")
    found=$(($(find "$build/findings" -name "$name-*" | wc -l) - before))
    all=$((all + found))
    report+=$(printf '\n%-16s %10d %8d %9d' "$name" "$inputs" $((SECONDS - start)) $found)
    echo "$report" | tail -n 1 >&2
done
echo "$report"
[ $all -eq 0 ]
