/* peft/cli/convert.c - `peft convert`: adapters of any method as plain LoRAs. */
#include "peft/convert.h"

#include <string.h>

#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/cli/document.h"
#include "peft/output_folder.h"

typedef struct convert_options {
    char *adapter, *to, *output, *model;
    bool force, other_base;
} convert_options;

static const struct target {
    const char *name;
    peft_status (*convert)(const peft_conversion *conversion, json_t **report, peft_error *error);
} targets[] = {{"lora", peft_convert_to_lora}, {"experts", peft_convert_to_experts}};
enum { NUM_TARGETS = sizeof targets / sizeof *targets };

static const char *const target_names[] = {"lora", "experts", NULL};

#define AT(field) .offset = offsetof(convert_options, field)

static const peft_option table[] = {
    {.name = "adapter",
     .type = PEFT_OPTION_STRING,
     AT(adapter),
     .placeholder = "DIR",
     .help = "folder of the adapter: adapter_config.json, adapter_model.safetensors"},
    {.name = "to",
     .type = PEFT_OPTION_STRING,
     AT(to),
     .initial = "lora",
     .choices = target_names,
     .placeholder = "NAME",
     .help = "what it becomes: one LoRA, or one for each expert of a mixture"},
    {.name = "output", .type = PEFT_OPTION_STRING, AT(output), .placeholder = "DIR", .help = "folder to write"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     AT(force),
     .initial = "false",
     .help = "write over the files of a folder that is not empty"},
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     AT(model),
     .placeholder = "DIR",
     .help = "folder of the base model, for adapters whose files do not say the sizes of their layers; if not set, the "
             "one that adapter_config.json names"},
    {.name = "other_base",
     .type = PEFT_OPTION_BOOL,
     AT(other_base),
     .initial = "false",
     .help = "go on where the adapter was trained on another model"},
    {0}};

static peft_status print(const json_t *report, peft_output *output, peft_error *error)
{
    if (output->json) return peft_output_json(output, report, error);
    size_t index;
    json_t *entry;
    json_array_foreach(report, index, entry)
    {
        size_t left_out = json_array_size(json_object_get(entry, "left_out"));
        fprintf(output->results, "%s: lora on %lld modules, rank %lld to %lld", peft_document_text(entry, "folder", ""),
                peft_document_integer(entry, "modules"), peft_document_integer(entry, "smallest_rank"),
                peft_document_integer(entry, "largest_rank"));
        if (left_out) fprintf(output->results, "; %zu modules left out", left_out);
        putc('\n', output->results);
    }
    return PEFT_OK;
}

static peft_status convert(const convert_options *o, json_t *notes, json_t **report, peft_error *error)
{
    const peft_load_options load = {.notes = notes, .other_base = o->other_base};
    const peft_conversion conversion = {.adapter = o->adapter, .output = o->output, .model = o->model, .load = &load};
    size_t k = 0;
    while (k + 1 < NUM_TARGETS && strcmp(o->to, targets[k].name) != 0) k++;
    return targets[k].convert(&conversion, report, error);
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const convert_options *o = arguments->values;
    const char *const sources[] = {o->adapter, o->model, NULL};
    peft_status status = peft_output_folder_check(o->output, o->force, sources, error);
    if (status) return status;
    json_t *report = NULL, *notes = json_array();
    status = notes ? convert(o, notes, &report, error) : peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    if (status == PEFT_OK) peft_output_notes(output, notes);
    if (status == PEFT_OK) status = print(report, output, error);
    json_decref(notes);
    json_decref(report);
    return status;
}

static const peft_command_part parts[] = {{table, 0}, {0}};
static const char *const required[] = {"adapter", "output", NULL};

const peft_command peft_command_convert = {
    .name = "convert",
    .summary = "write an adapter of another method as a plain LoRA",
    .example = "peft convert --adapter runs/adalora --to lora --output runs/as-lora\n"
               "peft convert --adapter runs/molora --to experts --output runs/experts",
    .description = "Writes a LoRA with the same update, in files that every program with PEFT's formats reads. Ranks "
                   "that differ go into rank_pattern, modules of which nothing is left are left out, the head is "
                   "copied.\n"
                   "Exact or refused: an adapter whose update depends on the input is no LoRA, nor is one that "
                   "scales weights (DoRA, IA3), which `peft merge` folds into the model.",
    .parts = parts,
    .bytes = sizeof(convert_options),
    .required = required,
    .run = run,
};
