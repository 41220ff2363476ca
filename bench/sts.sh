#!/usr/bin/env bash
# Correlation of sentence vectors' cosines with people's judgements (STS benchmark): does the encoder compute what it
# should, on real text?
#
#     bench/sts.sh MODEL FILE SENTENCE1 SENTENCE2 SCORE [PEARSON SPEARMAN]
#
# FILE is a TSV of STS-B without header line, or GLUE's with one; the numbers are columns, from 1. With PEARSON and
# SPEARMAN the script fails unless both are met to 0.0002. all-MiniLM-L6-v2 as sentence-transformers computes it:
#
#     bench/sts.sh minilm STS-B/dev.tsv              8 9 10   0.8696 0.8672
#     bench/sts.sh minilm STS-B/sts-test-labeled.tsv 6 7 5    0.8274 0.8203
set -euo pipefail
(($# == 5 || $# == 7)) || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 file=$2 first=$3 second=$4 score=$5
peft=${PEFT:-build/peft/cli/peft}
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Rows whose score is a number: the header line is none.
awk -F'\t' -v s="$score" '$s ~ /^[0-9.]+\r?$/' "$file" > "$dir/rows"
for column in "$first" "$second" "$score"; do cut -f"$column" "$dir/rows" | tr -d '\r' > "$dir/$column"; done

begin=$(date +%s.%N)
for column in "$first" "$second"; do
    "$peft" embed --model "$model" --input "$dir/$column" --quiet > "$dir/$column.vectors"
done
end=$(date +%s.%N)

paste -d' ' "$dir/$first.vectors" "$dir/$second.vectors" |
    awk '{ dot = 0; for (k = 1; k <= NF / 2; k++) dot += $k * $(k + NF / 2); printf "%.9g\n", dot }' > "$dir/cosines"

# rank FILE: for each line its rank; equal numbers share the mean of theirs.
rank() {
    nl -ba "$1" | sort -k2,2g | awk '
        function share(end,   k) { for (k = begin; k <= end; k++) print line[k], (begin + end) / 2 }
        BEGIN { begin = 1 }
        $2 != value { share(NR - 1); begin = NR; value = $2 }
        { line[NR] = $1 }
        END { share(NR) }' | sort -n | cut -d' ' -f2
}

# correlation FILE FILE: Pearson's
correlation() {
    paste -d' ' "$1" "$2" | awk '
        { n++; x += $1; y += $2; xx += $1 * $1; yy += $2 * $2; xy += $1 * $2 }
        END { printf "%.4f\n", (xy - x * y / n) / sqrt((xx - x * x / n) * (yy - y * y / n)) }'
}

rank "$dir/cosines" > "$dir/cosines.ranks"
rank "$dir/$score" > "$dir/score.ranks"
pearson=$(correlation "$dir/cosines" "$dir/$score")
spearman=$(correlation "$dir/cosines.ranks" "$dir/score.ranks")
pairs=$(wc -l < "$dir/rows")
awk -v b="$begin" -v e="$end" -v n="$pairs" -v p="$pearson" -v s="$spearman" 'BEGIN {
    printf "%d pairs, pearson %s, spearman %s, %.1f s, %.0f sentences/s\n", n, p, s, e - b, 2 * n / (e - b) }'
(($# == 5)) || awk -v p="$pearson" -v s="$spearman" -v P="$6" -v S="$7" 'BEGIN {
    if ((p - P)^2 < 0.00021^2 && (s - S)^2 < 0.00021^2) exit 0
    printf "expected pearson %s and spearman %s, to 0.0002\n", P, S; exit 1 }' >&2
