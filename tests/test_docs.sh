#!/usr/bin/env bash
# The documents name every variant of the build, and no other: each has a page, a place in README's table of methods with the
# files that it has, and its title in the family table of docs/adding-a-variant.md.
#
#     tests/test_docs.sh ROOT NAME...
set -euo pipefail
cd "$1"
shift
failed=0
say() { echo "$*"; failed=1; }

rows=$(sed -n '/^## Methods/,/^## /p' README.md | grep '^| ' || true)
family=$(sed -n '/^## How the family fits/,/^## /p' docs/adding-a-variant.md | grep '^| ' | cut -d'|' -f2 | tr ',' '\n' | sed 's/^ *//; s/ *$//')

for name in "$@"; do
    page=docs/variants/$name.md
    if [ ! -f "$page" ]; then
        say "$page: missing; every variant has a page"
        continue
    fi
    title=$(sed -n '1s/^# //p' "$page")
    grep -qxF "$title" <<<"$family" || say "docs/adding-a-variant.md: the family table lacks $title ($name)"
    row=$(grep -F "[$name]($page)" <<<"$rows" || true)
    files=$(grep -q '\.own_format' "variants/$name.c" && echo own || echo "PEFT's")
    if [ -z "$row" ]; then
        say "README.md: the table of methods lacks [$name]($page)"
    elif [[ "$(cut -d'|' -f4 <<<"$row")" != *"$files"* ]]; then
        say "README.md: $name: its files are $files"
    fi
done

# The other way round: what is listed is there. head and full are no variants of the registry.
for name in $( { grep -oP '\[\K[a-z0-9]+(?=\]\(docs/variants/)' <<<"$rows"; basename -s .md docs/variants/*.md; } | sort -u); do
    [ "$name" = full ] || [[ " $* " == *" $name "* ]] || say "$name: documented, but no variant has this name"
done
exit $failed
