#!/usr/bin/env bash
# Form and lint: clang-format, clang-tidy and shellcheck over the tree. Needs a build folder for the compile commands.
#
#     scripts/lint.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
mapfile -t sources < <(git ls-files '*.c' '*.h')
clang-format --dry-run -Werror "${sources[@]}"
# Kernels are compiled once for each backend; looking at one of them is enough.
mapfile -t compiled < <(git ls-files 'ops/*.c' 'io/*.c' 'variants/*.c' 'models/*.c' 'tasks/*.c' 'peft/*.c' 'examples/*.c')
printf '%s\n' "${compiled[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet 2>/dev/null
mapfile -t scripts < <(git ls-files '*.sh' '*.bats' '*.bash' .ci/run)
shellcheck -x "${scripts[@]}"
echo "lint: no findings"
