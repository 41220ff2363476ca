#include "peft/cli/run_summary.h"

#include "peft/cli/document.h"

void peft_run_summary_print(const json_t *summary, FILE *out)
{
    const double megabyte = 1e6;
    const char *name;
    json_t *value;
    fprintf(out, "%s, %s, seed %lld:", peft_document_text(summary, "task", "?"),
            peft_document_text(summary, "variant", "?"), peft_document_integer(summary, "seed"));
    json_object_foreach(json_object_get(summary, "metrics"), name, value)
        fprintf(out, " %s %.4f", name, json_number_value(value));
    const char *positive = peft_document_text(summary, "positive_class", NULL);
    if (positive) fprintf(out, " (positive: %s)", positive);
    fprintf(out, "\n%lld trainable parameters, %lld steps, %.1f s, %.0f tokens/s, peak memory %.0f MB\n",
            peft_document_integer(summary, "trainable_parameters"), peft_document_integer(summary, "steps"),
            peft_document_number(summary, "train_seconds"), peft_document_number(summary, "tokens_per_second"),
            peft_document_number(summary, "peak_memory_bytes") / megabyte);
}
