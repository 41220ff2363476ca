/* peft/cli/variants.c - `peft variants [NAME]`: the methods of this build, their equations, options and sources. */
#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/cli/job.h"
#include "peft/cli/table.h"
#include "variants/adapter.h"

static json_t *option_json(const peft_option *option)
{
    char limits[256], flag[64];
    return json_pack("{s:s, s:s, s:s?, s:s, s:s}", "name", option->name, "flag",
                     peft_option_flag(option->name, flag, sizeof flag), "default", option->initial, "limits",
                     peft_option_limits(option, limits, sizeof limits), "help", option->help);
}

static bool merges(const peft_variant *variant)
{
    return variant->merge || variant->to_lora;
}

static json_t *variant_json(const peft_variant *variant)
{
    json_t *options = json_array();
    for (const peft_option *option = variant->options; option->name; option++)
        json_array_append_new(options, option_json(option));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o}", "name", variant->name, "summary", variant->summary,
                     "equation", variant->equation, "source", variant->source, "peft_type", variant->peft_type,
                     "merges", merges(variant), "exports_lora", variant->to_lora != NULL, "options", options);
}

static peft_status print_json(const peft_variant *one, peft_output *output, peft_error *error)
{
    json_t *document = one ? variant_json(one) : json_array();
    for (size_t k = 0; !one && peft_variant_at(k); k++)
        json_array_append_new(document, variant_json(peft_variant_at(k)));
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "variants: out of memory");
    peft_status status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static void add_row(peft_text_table *table, const char *name, const char *equation, const char *summary)
{
    peft_text_table_cell(table, "%s", name);
    peft_text_table_cell(table, "%s", equation);
    peft_text_table_cell(table, "%s", summary);
}

static peft_status print_list(peft_output *output, peft_error *error)
{
    static const char *const headings[] = {"variant", "equation", "what it is"};
    peft_text_table table;
    peft_text_table_init(&table, headings, 3);
    for (size_t k = 0; peft_variant_at(k); k++) {
        const peft_variant *variant = peft_variant_at(k);
        add_row(&table, variant->name, variant->equation, variant->summary);
    }
    for (size_t k = 0; k < PEFT_NUM_YARDSTICKS; k++)
        add_row(&table, peft_yardsticks[k].name, "y = W x + b", peft_yardsticks[k].summary);
    peft_status status = peft_text_table_print(&table, output->results, error);
    peft_text_table_free(&table);
    return status;
}

static peft_status print_one(const peft_variant *variant, peft_output *output, peft_error *error)
{
    FILE *out = output->results;
    fprintf(out, "%s: %s\n\n    %s\n\nSource: %s\nFile:   adapter_config.json with peft_type %s%s%s\n", variant->name,
            variant->summary, variant->equation, variant->source, variant->peft_type, variant->peft_flag ? " and " : "",
            variant->peft_flag ? variant->peft_flag : "");
    fprintf(out, "Merge:  %s\n\n",
            variant->to_lora  ? "into the weights, and exact as a plain LoRA"
            : merges(variant) ? "into the weights; no plain LoRA has this update"
                              : "none: the update depends on the input");
    static const char *const headings[] = {"option", "default", "limits", "meaning"};
    peft_text_table table;
    peft_text_table_init(&table, headings, 4);
    for (const peft_option *option = variant->options; option->name; option++) {
        char limits[256], flag[64];
        peft_text_table_cell(&table, "--%s", peft_option_flag(option->name, flag, sizeof flag));
        peft_text_table_cell(&table, "%s", option->initial ? option->initial : "");
        peft_text_table_cell(&table, "%s", peft_option_limits(option, limits, sizeof limits));
        peft_text_table_cell(&table, "%s", option->help);
    }
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const peft_variant *one = NULL;
    if (arguments->num_operands) {
        peft_status status = peft_variant_get(arguments->operands[0], &one, error);
        if (status != PEFT_OK) return status;
    }
    if (output->json) return print_json(one, output, error);
    return one ? print_one(one, output, error) : print_list(output, error);
}

const peft_command peft_command_variants = {
    .name = "variants",
    .summary = "list the methods: equation, options, source",
    .example = "peft variants\npeft variants rslora",
    .description = "Without a name, all variants of this build; with one, its equation, source and options.",
    .operands = "[NAME]",
    .max_operands = 1,
    .run = run,
};
