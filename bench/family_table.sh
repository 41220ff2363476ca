#!/usr/bin/env bash
# Comparisons as a Markdown table: a row for each variant, a column for each task with mean ± deviation over the seeds and
# the learning rate that was chosen; then the most memory that a run held, and the seconds of training all its tasks once.
#
#     bench/family_table.sh OUTPUT...        folders of `peft compare`; needs mlr (Debian: miller) and jq
set -euo pipefail
(($#)) || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
# shellcheck disable=SC1010,SC2016 # mlr's own words
mlr --icsv --ojson put '
        $task = $task . ", " . $metric;
        $score = fmtnum($mean, "%.3f") . " ± " . fmtnum($standard_deviation, "%.3f") . " @ " . $learning_rate' \
    "${@/%//summary.csv}" |
    jq -r 'def row: "| \(join(" | ")) |";
        def in_order(key): to_entries | group_by(.value | key) | sort_by(.[0].key) | map(map(.value));
        (in_order(.task) | map(.[0].task)) as $tasks
        | (["variant", "parameters"] + $tasks + ["peak MB", "seconds"] | row, (map("---") | row)),
        (in_order(.variant)[] | (map({key: .task, value: .score}) | from_entries) as $scores
            | [.[0].variant, (.[0].trainable_parameters | tostring)] + ($tasks | map($scores[.] // "–"))
            + [(map(.peak_memory_bytes / 1e6) | max | round | tostring), (map(.train_seconds) | add | round | tostring)] | row)'
