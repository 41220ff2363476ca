/* peft/cli/inspect.c - `peft inspect PATH`: what an adapter, model or run folder holds. */
#include "peft/cli/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "io/file.h"
#include "peft/adapter_file.h"
#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/cli/inspect_decisions.h"

/* A run folder holds an adapter, too, and both are shown. */
static const peft_inspector *const inspectors[] = {&peft_inspect_run, &peft_inspect_decisions, &peft_inspect_adapter,
                                                   &peft_inspect_model};
enum { NUM_INSPECTORS = sizeof inspectors / sizeof inspectors[0] };

json_t *peft_inspect_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_int_t peft_inspect_file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (json_int_t)info.st_size : 0;
}

static peft_status applies(const peft_inspector *inspector, const char *folder, bool *answer, peft_error *error)
{
    *answer = false;
    for (int k = 0; k < 2 && inspector->files[k] && !*answer; k++) {
        peft_status status = peft_file_exists_in(folder, inspector->files[k], answer, error);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

static peft_status describe_all(const peft_inspection *what, json_t *all, peft_error *error)
{
    const char *folder = what->folder;
    for (int k = 0; k < NUM_INSPECTORS; k++) {
        bool does;
        json_t *document = NULL;
        peft_status status = applies(inspectors[k], folder, &does, error);
        if (status == PEFT_OK && does) status = inspectors[k]->describe(what, &document, error);
        if (status != PEFT_OK) return status;
        if (does && json_object_set_new(all, inspectors[k]->kind, document) != 0)
            return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    }
    if (json_object_size(all)) return PEFT_OK;
    peft_status status = peft_fail_parent(folder, error);
    if (status != PEFT_OK) return status;
    return peft_fail(error, PEFT_ERR_FILE,
                     "%s: expected the folder of an adapter (adapter_config.json), a model (config.json) or a run "
                     "(run.json, log.jsonl)",
                     folder);
}

static peft_status print_all(const json_t *all, peft_output *output, peft_error *error)
{
    if (output->json) return peft_output_json(output, all, error);
    peft_status status = PEFT_OK;
    bool first = true;
    for (int k = 0; status == PEFT_OK && k < NUM_INSPECTORS; k++) {
        const json_t *document = json_object_get(all, inspectors[k]->kind);
        if (!document) continue;
        if (!first) putc('\n', output->results);
        status = inspectors[k]->print(document, output->results, error);
        first = false;
    }
    return status;
}

typedef struct inspect_options {
    char *svg, *model;
} inspect_options;

static const peft_option option_table[] = {{.name = "svg",
                                            .type = PEFT_OPTION_STRING,
                                            .offset = offsetof(inspect_options, svg),
                                            .placeholder = "FILE",
                                            .help = "draw the updates of the modules, and what the variant decided "
                                                    "over the run, as heat maps",
                                            .group = "Inspect"},
                                           {.name = "model",
                                            .type = PEFT_OPTION_STRING,
                                            .offset = offsetof(inspect_options, model),
                                            .placeholder = "DIR",
                                            .help = "folder of an adapter's base model, for methods whose files do not "
                                                    "say the sizes of their layers; if not set, the one that "
                                                    "adapter_config.json names",
                                            .group = "Inspect"},
                                           {0}};

static const peft_command_part parts[] = {{option_table, 0}, {0}};

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const inspect_options *options = arguments->values;
    const peft_inspection what = {.folder = arguments->operands[0], .model = options->model};
    json_t *all = json_object();
    if (!all) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    peft_status status = describe_all(&what, all, error);
    if (status == PEFT_OK && options->model && !json_object_get(all, peft_inspect_adapter.kind))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "--model: %s holds no adapter that has a base", what.folder);
    if (status == PEFT_OK && options->svg) status = peft_inspect_draw(all, options->svg, error);
    if (status == PEFT_OK) status = print_all(all, output, error);
    json_decref(all);
    return status;
}

const peft_command peft_command_inspect = {
    .name = "inspect",
    .summary = "show what an adapter, model or run folder holds",
    .example = "peft inspect runs/entail\npeft inspect runs/entail --svg entail.svg\npeft inspect minilm --json",
    .description =
        "An adapter: its method, the modules with ranks, sizes and norms, what is trained in full. Norms are "
        "Frobenius norms; that of the update tells how far a module was moved.\n"
        "A model: its sizes and the linear modules that an adapter can be put on.\n"
        "A run: its metrics and costs, how the loss went, and what the variant decided: ranks, gates, load of experts, "
        "by layers and modules.",
    .parts = parts,
    .bytes = sizeof(inspect_options),
    .operands = "PATH",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
