#!/usr/bin/env bash
# Comparisons as a Markdown table: a row for each variant, a column for each task, mean ± deviation over the seeds.
#
#     bench/family_table.sh OUTPUT...        folders of `peft compare`; needs mlr (Debian: miller)
set -euo pipefail
(($#)) || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
# shellcheck disable=SC1010,SC2016 # mlr's own words
mlr --icsv --omd put '
        $task = $task . ", " . $metric;
        $score = fmtnum($mean, "%.3f") . " ± " . fmtnum($standard_deviation, "%.3f") . " @ " . $learning_rate' \
    then cut -o -f variant,trainable_parameters,task,score \
    then reshape -s task,score then unsparsify then rename trainable_parameters,parameters "${@/%//summary.csv}"
