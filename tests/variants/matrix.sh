#!/usr/bin/env bash
# What the tests show of each variant, as a table in Markdown: the loops of test_registry.c and of
# tests/peft/test_adapter_folder.c, a row a variant.
#
#     tests/variants/matrix.sh BUILD_DIR
#
# A cell counts the cases that passed; "refused" stands where the tests see a clear refusal instead. Fails if any failed.
set -euo pipefail
(($# == 1)) || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
build=$1
properties=(a_new_adapter_changes_no_output backward_is_the_adjoint_of_forward merged_weights_give_the_adapted_output
    the_exported_lora_gives_the_same_output the_number_of_threads_changes_no_bit training_on_more_threads_ends_in_the_same_bits
    a_resumed_training_ends_in_the_same_bits every_variant_is_read_as_it_was_written creation_survives_a_failing_allocator)
export CK_VERBOSITY=verbose PEFT_FIXTURES=${BASH_SOURCE[0]%/*}/../fixtures
results=$("$build/tests/variants/test_variants_registry"; "$build/tests/peft/test_peft_adapter_folder")

# passed TEST INDEX COUNT: "passed/all" of the loop's entries of variant number INDEX, when there are COUNT variants
passed() {
    grep ":$1:" <<< "$results" | awk -F: -v index_="$2" -v count="$3" '
        { total++; line[total] = $0 }
        END {
            cases = total / count
            for (k = index_ * cases + 1; k <= (index_ + 1) * cases; k++) good += line[k] ~ /: Passed$/
            printf "%d/%d", good, cases
        }'
}

echo "| variant | zero start | gradients | merge | export to LoRA | forward, 1–3 threads | training, 1 and 2 threads | resume | save, load, save | out of memory |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
variants=$("$build/peft/cli/peft" variants --json)
count=$(jq length <<< "$variants")
for ((v = 0; v < count; v++)); do
    row="| $(jq -r ".[$v].name" <<< "$variants")"
    for property in "${properties[@]}"; do
        cell=$(passed "$property" "$v" "$count")
        case $property in
            merged*) jq -e ".[$v].merges" <<< "$variants" > /dev/null || cell="refused $cell" ;;
            the_exported*) jq -e ".[$v].exports_lora" <<< "$variants" > /dev/null || cell="refused $cell" ;;
        esac
        row+=" | $cell"
    done
    echo "$row |"
done
! grep -q ':F:\|:E:' <<< "$results"
