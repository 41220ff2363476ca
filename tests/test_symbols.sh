#!/usr/bin/env bash
# Names that a program which links the static library can see, all of its folders' functions and data, begin with peft_:
# they cannot collide with the program's own.
#
#     [NM=nm] tests/test_symbols.sh LIBRARY
set -euo pipefail

symbols=$("${NM:-nm}" --extern-only --defined-only --format=posix "$1" 2> /dev/null | awk 'NF >= 2 {print $1}')
ours=$(grep -c '^peft_' <<< "$symbols" || true)
others=$(grep -v '^peft_' <<< "$symbols" | sort -u || true)

[ -z "$others" ] || printf 'external, but without peft_:\n%s\n' "$others"
echo "$ours external names"
[ -z "$others" ] && [ "$ours" -gt 500 ]
