#!/usr/bin/env bash
# Builds libpeft with gcc and with clang, plain and with the address and undefined-behaviour sanitizers, and runs the
# tests of each: those of the command, which take longest, in the first and the last, all others in all four. Installs
# what is missing (Debian 12, as root or with sudo). Ends with one line of counts.
#
#     ./test.sh            all four builds
#     ./test.sh gcc        only those whose name begins so: gcc, gcc-sanitized, clang, clang-sanitized
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
install_missing "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"

# intercept_tls_get_addr=0: the thread-local memory of a library that was opened while running (oneDNN) is found by a
# guess (a block 16 bytes behind the start of a page has a header before it) that one run in some thousand proves wrong.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:intercept_tls_get_addr=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
# What sanitizers insert makes gcc warn of what cannot be; warnings are errors in the plain builds.
sanitized="-Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1"
passed=0 failed=0 skipped=0

# run NAME COMPILER [MESON OPTION...]: builds in build-NAME and adds its tests to the counts.
run() {
    local name=$1 compiler=$2 dir=build-$1 log without=()
    case $name in gcc-sanitized | clang) without=(--no-suite cli) ;; esac
    shift 2
    echo "== $name"
    [ -f "$dir/build.ninja" ] || CC=$compiler meson setup "$dir" "$@" >/dev/null
    ninja -C "$dir" >"$dir/build.log" || { grep -A 8 -E 'error|warning|FAILED' "$dir/build.log" | head -n 60; exit 1; }
    log=$dir/meson-logs/testlog.txt
    meson test -C "$dir" --no-rebuild --print-errorlogs --quiet --timeout-multiplier 20 "${without[@]}" || true
    passed=$((passed + $(count 'Ok' "$log")))
    failed=$((failed + $(count 'Fail' "$log") + $(count 'Timeout' "$log") + $(count 'Unexpected Pass' "$log")))
    skipped=$((skipped + $(count 'Skipped' "$log")))
}

count() {
    sed -n "s/^$1: *\([0-9]*\).*/\1/p" "$2" | tail -n 1 | grep . || echo 0
}

wanted=${1:-}
# Tests on the mirror (tests/mirror) are the same in all: they run in the first.
for build in "gcc gcc --werror" "gcc-sanitized gcc $sanitized -Dmirror=false" "clang clang --werror -Dmirror=false" \
    "clang-sanitized clang $sanitized -Dmirror=false"; do
    # shellcheck disable=SC2086 # words on purpose
    case $build in "$wanted"*) run $build ;; esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
