#include "peft/cli/compare/options.h"

#include <stdlib.h>

#include "peft/cli/compare/budget.h"

#define AT(field) .offset = offsetof(peft_compare_options, field)

static const peft_option compare_table[] = {
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     AT(model),
     .placeholder = "DIR",
     .help = "folder of the base model: config.json, model.safetensors, tokenizer.json",
     .group = "Comparison"},
    {.name = "tasks",
     .type = PEFT_OPTION_JSON,
     AT(tasks),
     .placeholder = "A,B",
     .help =
         "tasks, some of `peft tasks` or of files (FILE.yaml, FILE.yaml:NAME); none with own files (--train, --dev)",
     .group = "Comparison"},
    {.name = "variants",
     .type = PEFT_OPTION_JSON,
     AT(variants),
     .placeholder = "X,Y",
     .help =
         "methods, some of `peft variants`, head or full, each with options of its own if wanted: lora:rank=8:alpha=16",
     .group = "Comparison"},
    {.name = "seeds",
     .type = PEFT_OPTION_JSON,
     AT(seeds),
     .initial = "0,1,2",
     .placeholder = "LIST",
     .help = "seeds that each is run with",
     .group = "Comparison"},
    {.name = "learning_rates",
     .type = PEFT_OPTION_JSON,
     AT(learning_rates),
     .placeholder = "LIST",
     .help = "learning rates to choose from for each task and variant, with the first seed, on examples held out of "
             "train",
     .group = "Comparison"},
    {.name = "budget",
     .type = PEFT_OPTION_JSON,
     AT(budget),
     .placeholder = "X",
     .help = "trained parameters of each adapter, 50000 or 0.1% of the model's: sizes that a variant does not name "
             "(rank, k, "
             "experts) are as large as that allows",
     .group = "Comparison"},
    {.name = "yardsticks",
     .type = PEFT_OPTION_BOOL,
     AT(yardsticks),
     .initial = "true",
     .help = "with --learning-rates or --budget: compare head, full and lora, too",
     .group = "Comparison"},
    {.name = "output",
     .type = PEFT_OPTION_STRING,
     AT(output),
     .placeholder = "DIR",
     .help = "folder of the comparison: results.csv, summary.csv, <task>/<variant>/seed<N>/",
     .group = "Comparison"},
    {.name = "jobs",
     .type = PEFT_OPTION_INT,
     AT(jobs),
     .initial = "1",
     .min = 1,
     .max = 1024,
     .placeholder = "N",
     .help = "runs side by side; they share the threads",
     .group = "Comparison"},
    {.name = "resume",
     .type = PEFT_OPTION_BOOL,
     AT(resume),
     .initial = "false",
     .help = "keep finished runs and go on with the others",
     .group = "Comparison"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     AT(force),
     .initial = "false",
     .help = "start all runs anew where the folder holds some",
     .group = "Comparison"},
    {.name = "dry_run",
     .type = PEFT_OPTION_BOOL,
     AT(dry_run),
     .initial = "false",
     .help = "show how many runs there are and how long they will take, after a few steps of each kind, and stop",
     .group = "Comparison"},
    {0}};

const peft_command_part peft_compare_parts[] = {{compare_table, 0},
                                                {peft_data_option_table, offsetof(peft_compare_options, data)},
                                                {peft_target_option_table, offsetof(peft_compare_options, targets)},
                                                {peft_train_option_table, offsetof(peft_compare_options, train)},
                                                {0}};

size_t peft_compare_shared_sets(peft_compare_options *options, peft_option_set sets[PEFT_COMPARE_SHARED_SETS])
{
    size_t count = 0;
    for (const peft_command_part *part = peft_compare_parts + 1; part->table && count < PEFT_COMPARE_SHARED_SETS;
         part++)
        sets[count++] = (peft_option_set){part->table, (char *)options + part->offset};
    return count;
}

size_t peft_list_count(const json_t *list)
{
    return json_is_array(list) ? json_array_size(list) : list != NULL;
}

json_t *peft_list_at(json_t *list, size_t index)
{
    return json_is_array(list) ? json_array_get(list, index) : list;
}

static bool is_text(const json_t *value)
{
    return json_is_string(value) && *json_string_value(value);
}

static bool is_seed(const json_t *value)
{
    const double most = 9007199254740992.0; /* 2^53, as --seed allows */
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_number_value(value) <= most;
}

static bool is_rate(const json_t *value)
{
    return json_is_number(value) && json_number_value(value) > 0.0;
}

static bool stands_before(json_t *list, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (json_equal(peft_list_at(list, i), peft_list_at(list, index))) return true;
    return false;
}

static peft_status check_list(const char *flag, json_t *list, bool (*is_right)(const json_t *), const char *expected,
                              peft_error *error)
{
    for (size_t i = 0; i < peft_list_count(list); i++) {
        char *text = json_dumps(peft_list_at(list, i), JSON_ENCODE_ANY);
        peft_status status = PEFT_OK;
        if (!is_right(peft_list_at(list, i)))
            status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %s, found %s", flag, expected, text);
        else if (stands_before(list, i))
            status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s stands there twice", flag, text);
        free(text);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

static peft_status check_lists(const peft_compare_options *o, peft_error *error)
{
    peft_status status = check_list("--tasks", o->tasks, is_text, "names of tasks", error);
    if (status == PEFT_OK) status = check_list("--variants", o->variants, is_text, "names of variants", error);
    if (status == PEFT_OK) status = check_list("--seeds", o->seeds, is_seed, "integers from 0 on", error);
    if (status == PEFT_OK)
        status = check_list("--learning-rates", o->learning_rates, is_rate, "numbers above 0", error);
    if (status == PEFT_OK && !peft_list_count(o->seeds))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "--seeds: expected a seed at least, found none");
    return status;
}

static bool all_from_files(json_t *tasks)
{
    bool all = true;
    for (size_t i = 0; i < peft_list_count(tasks); i++)
        all = all && peft_task_is_file(json_string_value(peft_list_at(tasks, i)));
    return all;
}

static peft_status check_data(const peft_compare_options *o, peft_error *error)
{
    bool own = o->data.train || o->data.dev;
    if (own && o->tasks)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--tasks and own files (--train, --dev) exclude each other");
    if (own && !(o->data.train && o->data.dev))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "own data: --train FILE and --dev FILE are both needed");
    if (!own && !(peft_list_count(o->tasks) && (o->data.data || all_from_files(o->tasks))))
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "no data: give --tasks A,B and --data DIR, a file of tasks, or own files by --train FILE and "
                         "--dev FILE");
    return PEFT_OK;
}

peft_status peft_compare_options_check(const peft_compare_options *o, peft_error *error)
{
    if (o->data.task) return peft_fail(error, PEFT_ERR_ARGUMENT, "--task: a comparison has --tasks");
    if (o->train.seed) return peft_fail(error, PEFT_ERR_ARGUMENT, "--seed: a comparison has --seeds");
    if (o->force && o->resume) return peft_fail(error, PEFT_ERR_ARGUMENT, "--force and --resume exclude each other");
    if (o->budget && !peft_budget_is_valid(o->budget))
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "--budget: expected a number of parameters, or a share such as 0.1%%");
    peft_status status = check_lists(o, error);
    if (status == PEFT_OK) status = check_data(o, error);
    if (status == PEFT_OK && !o->learning_rates) status = peft_train_options_check(&o->train, error);
    return status;
}
