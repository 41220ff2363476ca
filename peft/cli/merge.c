/* peft/cli/merge.c - `peft merge`: an adapter folded into the weights of its model. */
#include "peft/merge.h"

#include <inttypes.h>
#include <string.h>

#include "peft/agreement.h"
#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/inject.h"
#include "peft/load.h"
#include "peft/model_folder.h"
#include "peft/output_folder.h"
#include "peft/train_options.h"

typedef struct merge_options {
    char *model, *adapter, *output, *dtype, *backend;
    bool force, verify, other_base;
    double tolerance;
} merge_options;

static const char as_the_model[] = "model";
static const char *const dtype_names[] = {as_the_model, "f32", "bf16", "f16", NULL};
static const peft_dtype dtypes[] = {PEFT_NUM_DTYPES, PEFT_F32, PEFT_BF16, PEFT_F16};

#define AT(field) .offset = offsetof(merge_options, field)

static const peft_option table[] = {
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     AT(model),
     .placeholder = "DIR",
     .help = "folder of the base model: config.json, model.safetensors, tokenizer.json"},
    {.name = "adapter",
     .type = PEFT_OPTION_STRING,
     AT(adapter),
     .placeholder = "DIR",
     .help = "folder of the adapter: adapter_config.json, adapter_model.safetensors"},
    {.name = "other_base",
     .type = PEFT_OPTION_BOOL,
     AT(other_base),
     .initial = "false",
     .help = "go on where the adapter was trained on another model"},
    {.name = "output", .type = PEFT_OPTION_STRING, AT(output), .placeholder = "DIR", .help = "folder to write"},
    {.name = "dtype",
     .type = PEFT_OPTION_STRING,
     AT(dtype),
     .initial = as_the_model,
     .choices = dtype_names,
     .placeholder = "NAME",
     .help = "type of the numbers in the file; model: as the base model's file has them"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     AT(force),
     .initial = "false",
     .help = "write over the files of a folder that is not empty"},
    {.name = "verify",
     .type = PEFT_OPTION_BOOL,
     AT(verify),
     .initial = "false",
     .help = "read the folder again and compare its logits with those of model and adapter; exit code 1 if they differ",
     .group = "Check"},
    {.name = "tolerance",
     .type = PEFT_OPTION_FLOAT,
     AT(tolerance),
     .initial = "0",
     .max = 1,
     .placeholder = "X",
     .help =
         "difference that --verify allows, as a share of the largest logit; 0: 1e-4, or what rounding to the base's "
         "own type does where that has 16 bits",
     .group = "Check"},
    PEFT_BACKEND_OPTION_ROW(AT(backend)),
    {0}};

static peft_dtype chosen_dtype(const merge_options *o, const peft_model *model)
{
    size_t k = 0;
    while (dtype_names[k + 1] && strcmp(o->dtype, dtype_names[k]) != 0) k++;
    return dtypes[k] == PEFT_NUM_DTYPES ? peft_model_dtype(model) : dtypes[k];
}

/* ---- the check ---- */

/* A base of 16 bits was rounded as its merged weights are, so that no more can be asked of these: its numbers have 8 or
 * 11 bits, and the logits of a trained encoder lose about three of them. */
static double tolerance(const merge_options *o, const peft_model *model)
{
    if (o->tolerance > 0) return o->tolerance;
    const peft_dtype dtype = chosen_dtype(o, model);
    if (dtype != peft_model_dtype(model)) return 1e-4;
    return dtype == PEFT_BF16 ? 0.05 : dtype == PEFT_F16 ? 0.01 : 1e-4;
}

/* What was written, as it is read, beside what it was made from. */
static peft_status compare(const merge_options *o, const peft_loaded *l, const peft_arguments *arguments,
                           peft_agreement *agreement, peft_error *error)
{
    const peft_context_options options = {.threads = (int)arguments->shared.threads, .backend = o->backend};
    peft_context *ctx = NULL;
    const peft_model_options *opened = peft_model_opened_with(l->model);
    const peft_model_options as_it_is = {.part = opened->part, .pooling = opened->pooling};
    peft_model *merged = NULL;
    peft_status status = peft_context_open(&ctx, &options, error);
    if (status == PEFT_OK) status = peft_model_open(&merged, o->output, &as_it_is, error);
    if (status == PEFT_OK) status = peft_models_compare(ctx, l->model, merged, agreement, error);
    peft_model_close(merged);
    peft_context_close(ctx);
    return status;
}

static json_t *agreement_json(const peft_agreement *a, const merge_options *o, const peft_model *model, bool holds)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:b}", "sequences", (json_int_t)a->sequences, "difference", a->difference,
                     "largest", a->largest, "tolerance", tolerance(o, model), "holds", holds);
}

static peft_status verify(const merge_options *o, const peft_loaded *l, const peft_arguments *arguments,
                          json_t *document, peft_output *output, peft_error *error)
{
    peft_agreement a;
    peft_status status = compare(o, l, arguments, &a, error);
    if (status) return status;
    bool holds = a.difference <= tolerance(o, l->model) * a.largest;
    output->failed = !holds;
    if (json_object_set_new(document, "verified", agreement_json(&a, o, l->model, holds)) != 0)
        return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the results");
    if (output->json) return PEFT_OK;
    fprintf(output->results, "%s: logits of %" PRId64 " random sequences differ by %.2g at most, the largest is %.3g\n",
            holds ? "verified" : "not verified", a.sequences, a.difference, a.largest);
    if (!holds)
        peft_output_say(output, PEFT_SAY_ERROR,
                        "%s: the difference is above %g of the largest logit; 16-bit numbers round small updates away, "
                        "--dtype f32 keeps them",
                        o->output, tolerance(o, l->model));
    return PEFT_OK;
}

/* ---- merging ---- */

static peft_status merge(peft_loaded *l, peft_dtype dtype, const char *folder, peft_error *error)
{
    peft_merge *merge = NULL;
    peft_status status = peft_model_merge(l->model, &merge, error);
    if (status == PEFT_OK) status = peft_model_save(l->model, dtype, l->label_names, folder, error);
    peft_model_unmerge(merge);
    return status;
}

static peft_status write_and_report(const merge_options *o, peft_loaded *l, const peft_arguments *arguments,
                                    peft_output *output, peft_error *error)
{
    peft_dtype dtype = chosen_dtype(o, l->model);
    peft_status status = merge(l, dtype, o->output, error);
    if (status) return status;
    json_t *document = json_pack("{s:s, s:s}", "model", o->output, "dtype", peft_dtype_name(dtype));
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the results");
    if (!output->json) fprintf(output->results, "model: %s (%s)\n", o->output, peft_dtype_name(dtype));
    if (o->verify) status = verify(o, l, arguments, document, output, error);
    if (status == PEFT_OK && output->json) status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static peft_status load(const merge_options *o, peft_loaded *l, peft_output *output, peft_error *error)
{
    const peft_load_options options = {.other_base = o->other_base, .notes = json_array()};
    if (!options.notes) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    peft_status status = peft_load(l, o->model, o->adapter, PEFT_WITH_ANY_HEAD, &options, error);
    if (status == PEFT_OK) peft_output_notes(output, options.notes);
    json_decref(options.notes);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const merge_options *o = arguments->values;
    const char *const sources[] = {o->model, o->adapter, NULL};
    peft_loaded loaded;
    peft_status status = peft_output_folder_check(o->output, o->force, sources, error);
    if (status == PEFT_OK) status = load(o, &loaded, output, error);
    if (status != PEFT_OK) return status;
    status = write_and_report(o, &loaded, arguments, output, error);
    peft_loaded_close(&loaded);
    return status;
}

static const peft_command_part parts[] = {{table, 0}, {0}};
static const char *const required[] = {"model", "adapter", "output", NULL};

const peft_command peft_command_merge = {
    .name = "merge",
    .summary = "fold an adapter into the weights of its model",
    .example = "peft merge --model minilm --adapter runs/entail --output merged --verify\n"
               "peft predict --model merged --text 'A cat sleeps.'",
    .description =
        "Writes a whole model, head and tokenizer included, which transformers reads as "
        "AutoModelForSequenceClassification and which costs what the base model costs.\n"
        "Each weight is rounded once, to the type that is written. An adapter whose update depends on the input "
        "is refused, since no weight is equal to it.",
    .parts = parts,
    .bytes = sizeof(merge_options),
    .required = required,
    .run = run,
};
