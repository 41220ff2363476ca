#include "peft/cli/compare/grid.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "models/model.h"
#include "peft/cli/compare/budget.h"
#include "peft/cli/compare/yardsticks.h"
#include "peft/cli/job.h"
#include "peft/output_folder.h"
#include "tasks/task_file.h"

static const char OWN_FILES[] = "own", SETTINGS[] = "comparison.json";

enum { PLACE_BYTES = 64, PATH_BYTES = 4096 };

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "comparison: out of memory");
}

int64_t peft_grid_seed(const peft_grid *grid, size_t index)
{
    return json_integer_value(peft_list_at(grid->options->seeds, index));
}

/* ---- items ---- */

/* The variant's table, with the values that --rank and its like gave it. The name is known: the arguments were read
 * with it. */
static peft_option_set variant_set(const peft_arguments *arguments, const char *name)
{
    size_t k = 0;
    while (k + 1 < arguments->num_extensions && strcmp(arguments->extensions[k].name, name) != 0) k++;
    return (peft_option_set){arguments->extensions[k].table, peft_arguments_extension(arguments, name)};
}

/* A comparison gives these to its runs itself. */
static peft_status check_own_options(const peft_compare_item *item, peft_error *error)
{
    static const char *const fixed[] = {"seed", "task"};
    for (size_t k = 0; k < sizeof fixed / sizeof fixed[0]; k++)
        if (json_object_get(item->own, fixed[k]))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s is the same for all variants, see --%ss", item->text,
                             fixed[k], fixed[k]);
    return PEFT_OK;
}

static bool has_adapter(const char *variant)
{
    bool without = false;
    for (size_t k = 0; k < PEFT_NUM_YARDSTICKS; k++) without = without || strcmp(variant, peft_yardsticks[k].name) == 0;
    return !without;
}

static peft_status spend_budget(const peft_grid *grid, const peft_option_set *sets, size_t count,
                                peft_compare_item *item, peft_error *error)
{
    const peft_compare_options *o = grid->options;
    peft_budget budget = {.model = o->model, .share = o->budget, .sets = sets, .num_sets = count};
    if (!o->budget || !has_adapter(item->variant)) return PEFT_OK;
    peft_status status = peft_variant_get(item->variant, &budget.variant, error);
    return status == PEFT_OK ? peft_budget_spend(&budget, item, error) : status;
}

/* `own` are the options of its variant. */
static peft_status add_item(peft_grid *grid, const char *text, const peft_option_set *own, peft_error *error)
{
    peft_option_set sets[PEFT_COMPARE_SHARED_SETS + 1];
    size_t count = peft_compare_shared_sets(grid->options, sets);
    sets[count++] = *own;
    peft_compare_item *item = &grid->items[grid->num_items];
    peft_status status = peft_compare_item_parse(item, text, sets, count, error);
    if (status != PEFT_OK) return status;
    grid->num_items++;
    status = check_own_options(item, error);
    return status == PEFT_OK ? spend_budget(grid, sets, count, item, error) : status;
}

static peft_status parse_item(peft_grid *grid, const peft_arguments *arguments, const char *text, peft_error *error)
{
    char *name = strndup(text, peft_compare_item_name_bytes(text));
    if (!name) return no_memory(error);
    const peft_option_set own = variant_set(arguments, name);
    free(name);
    return add_item(grid, text, &own, error);
}

static bool has_variant(const peft_grid *grid, const char *variant)
{
    for (size_t i = 0; i < grid->num_items; i++)
        if (strcmp(grid->items[i].variant, variant) == 0) return true;
    return false;
}

/* With a search or a budget each method is seen beside those that everybody knows, under the same rules. */
static peft_status add_yardsticks(peft_grid *grid, const peft_arguments *arguments, peft_error *error)
{
    const peft_compare_options *o = grid->options;
    peft_status status = PEFT_OK;
    bool wanted = o->yardsticks && (o->learning_rates || o->budget);
    for (size_t k = 0; k < PEFT_NUM_COMPARE_YARDSTICKS && wanted && status == PEFT_OK; k++) {
        const char *name = peft_compare_yardsticks[k];
        peft_option_set own;
        if (has_variant(grid, name)) continue;
        status = peft_yardstick_open(arguments, name, &own, error);
        if (status == PEFT_OK) status = add_item(grid, name, &own, error);
        peft_yardstick_close(&own);
    }
    return status;
}

/* Two items may be written apart and yet share a folder: lora:rank=8 and lora:rank:8. */
static peft_status check_labels(const peft_grid *grid, peft_error *error)
{
    const peft_compare_item *last = &grid->items[grid->num_items - 1];
    for (const peft_compare_item *item = grid->items; item < last; item++)
        if (strcmp(item->label, last->label) == 0)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "--variants: %s and %s would share the folder %s", item->text,
                             last->text, last->label);
    return PEFT_OK;
}

static peft_status parse_items(peft_grid *grid, const peft_arguments *arguments, peft_error *error)
{
    json_t *list = grid->options->variants;
    grid->items = calloc(peft_list_count(list) + PEFT_NUM_COMPARE_YARDSTICKS + 1, sizeof *grid->items);
    peft_status status = grid->items ? PEFT_OK : no_memory(error);
    for (size_t i = 0; i < peft_list_count(list) && status == PEFT_OK; i++) {
        status = parse_item(grid, arguments, json_string_value(peft_list_at(list, i)), error);
        if (status == PEFT_OK) status = check_labels(grid, error);
    }
    return status == PEFT_OK ? add_yardsticks(grid, arguments, error) : status;
}

/* ---- cells ---- */

static peft_status check_name(const peft_grid *grid, const char *name, peft_error *error)
{
    for (size_t t = 0; t < grid->num_tasks; t++)
        if (strcmp(grid->tasks[t].name, name) == 0)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "--tasks: two are called %s, and would share a folder", name);
    return PEFT_OK;
}

/* `word` is taken over. */
static peft_status add_task(peft_grid *grid, const char *name, char *word, peft_error *error)
{
    peft_compare_task *tasks = realloc(grid->tasks, (grid->num_tasks + 1) * sizeof *tasks);
    char *copy = tasks ? strdup(name) : NULL;
    if (tasks) grid->tasks = tasks;
    if (!copy) {
        free(word);
        return no_memory(error);
    }
    tasks[grid->num_tasks++] = (peft_compare_task){copy, word};
    return PEFT_OK;
}

/* The word for one of the tasks that `word` stands for; NULL: out of memory. */
static char *word_of(const char *word, const peft_task *task)
{
    const char *colon = strrchr(word, ':');
    if (!task->from_file) return strdup(task->name);
    if (colon && strcmp(colon + 1, task->name) == 0) return strdup(word);
    size_t bytes = strlen(word) + strlen(task->name) + 2;
    char *text = malloc(bytes);
    if (text) snprintf(text, bytes, "%s:%s", word, task->name);
    return text;
}

static peft_status add_listed(peft_grid *grid, const char *word, const peft_task *task, peft_error *error)
{
    peft_status status = check_name(grid, task->name, error);
    if (status != PEFT_OK) return status;
    char *own = word_of(word, task);
    return own ? add_task(grid, task->name, own, error) : no_memory(error);
}

/* A name stands for a known task, a file for all that it holds. */
static peft_status add_tasks(peft_grid *grid, const char *word, peft_error *error)
{
    peft_task_list list;
    peft_status status = peft_task_list_open(word, &list, error);
    if (status != PEFT_OK) return status;
    for (size_t k = 0; k < list.count && status == PEFT_OK; k++) status = add_listed(grid, word, list.tasks[k], error);
    peft_task_list_free(&list);
    return status;
}

static peft_status find_tasks(peft_grid *grid, peft_error *error)
{
    json_t *list = grid->options->tasks;
    if (!list) return add_task(grid, OWN_FILES, NULL, error);
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < peft_list_count(list) && status == PEFT_OK; i++)
        status = add_tasks(grid, json_string_value(peft_list_at(list, i)), error);
    return status;
}

static peft_status make_cells(peft_grid *grid, peft_error *error)
{
    peft_status status = find_tasks(grid, error);
    if (status != PEFT_OK) return status;
    grid->cells = calloc(grid->num_tasks * grid->num_items + 1, sizeof *grid->cells);
    if (!grid->cells) return no_memory(error);
    for (const peft_compare_task *task = grid->tasks; task < grid->tasks + grid->num_tasks; task++)
        for (const peft_compare_item *item = grid->items; item < grid->items + grid->num_items; item++)
            grid->cells[grid->num_cells++] =
                (peft_compare_cell){.task = task,
                                    .item = item,
                                    .learning_rate = json_number_value(json_object_get(item->all, "learning_rate"))};
    return PEFT_OK;
}

/* ---- what all runs read ---- */

static peft_status check_split(const peft_data_options *data, const char *split, peft_error *error)
{
    char *path;
    peft_mapped_file file = {0};
    peft_status status = peft_corpus_path(data, split, &path, error);
    if (status == PEFT_OK && path) status = peft_file_map(path, &file, error);
    peft_file_unmap(&file);
    free(path);
    return status;
}

static peft_status check_task(const peft_grid *grid, const peft_compare_task *task, peft_error *error)
{
    peft_data_options data = grid->options->data;
    data.task = task->word;
    peft_status status = check_split(&data, "train", error);
    return status == PEFT_OK ? check_split(&data, "dev", error) : status;
}

/* What no run could do without is said once, rather than by each of them. */
static peft_status check_inputs(const peft_grid *grid, peft_error *error)
{
    peft_model *model;
    peft_status status = peft_model_open(&model, grid->options->model, NULL, error);
    if (status != PEFT_OK) return status;
    peft_model_close(model);
    status = check_task(grid, &grid->tasks[0], error);
    for (size_t t = 1; t < grid->num_tasks && status != PEFT_OK; t++)
        if (check_task(grid, &grid->tasks[t], NULL) == PEFT_OK) return PEFT_OK;
    return status;
}

/* ---- the whole ---- */

/* What a comparison that was killed as it began may have left. */
static bool is_nothing(const char *name)
{
    return peft_is_temporary(name) || strcmp(name, PEFT_LOCK_NAME) == 0;
}

static bool holds(const char *folder, const char *name)
{
    char *path = NULL;
    bool there = peft_path_join(folder, name, &path, NULL) == PEFT_OK && peft_file_exists(path);
    free(path);
    return there;
}

static peft_status check_output(const peft_compare_options *o, peft_error *error)
{
    const char *sources[5] = {o->model};
    const char *const more[] = {o->data.data, o->data.train, o->data.dev};
    for (size_t k = 0, count = 1; k < sizeof more / sizeof *more; k++)
        if (more[k]) sources[count++] = more[k];
    peft_status status = peft_output_folder_check_sources(o->output, sources, error);
    if (status != PEFT_OK || o->force || !peft_folder_holds(o->output, is_nothing)) return status;
    bool is_comparison = holds(o->output, SETTINGS) || holds(o->output, "results.csv");
    if (o->resume && is_comparison) return PEFT_OK;
    if (o->resume)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: --resume: expected a comparison, found other files", o->output);
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: is there already; give --resume to go on with it or --force to start anew", o->output);
}

static peft_status save_settings(const peft_arguments *arguments, const char *folder, peft_error *error)
{
    char *path = NULL;
    json_t *settings = peft_arguments_to_json(arguments);
    peft_status status = settings ? peft_path_join(folder, SETTINGS, &path, error) : no_memory(error);
    if (status == PEFT_OK) status = peft_json_save(path, settings, PEFT_JSON_AS_IS, error);
    json_decref(settings);
    free(path);
    return status;
}

static peft_status make_output(peft_grid *grid, const peft_arguments *arguments, peft_error *error)
{
    const char *output = grid->options->output;
    peft_status status = peft_output_folder_prepare(output, error);
    if (status == PEFT_OK) status = peft_folder_lock(output, &grid->lock, error);
    return status == PEFT_OK ? save_settings(arguments, output, error) : status;
}

static int64_t threads_of_each(const peft_arguments *arguments, int64_t jobs)
{
    int64_t all = arguments->shared.threads ? arguments->shared.threads : sysconf(_SC_NPROCESSORS_ONLN);
    return all > jobs ? all / jobs : 1;
}

peft_status peft_grid_open(peft_grid *grid, const peft_arguments *arguments, peft_error *error)
{
    peft_compare_options *o = arguments->values;
    *grid = (peft_grid){.options = o, .num_seeds = peft_list_count(o->seeds)};
    grid->how = (peft_run_how){o->force, o->resume, threads_of_each(arguments, o->jobs)};
    peft_status status = parse_items(grid, arguments, error);
    if (status == PEFT_OK) status = make_cells(grid, error);
    if (status == PEFT_OK) status = check_output(o, error);
    if (status == PEFT_OK) status = check_inputs(grid, error);
    if (status == PEFT_OK && !o->dry_run) status = make_output(grid, arguments, error);
    if (status != PEFT_OK) peft_grid_close(grid);
    return status;
}

void peft_grid_close(peft_grid *grid)
{
    for (size_t i = 0; i < grid->num_runs; i++) peft_train_run_free(&grid->runs[i]);
    for (size_t i = 0; i < grid->num_cells; i++) free(grid->cells[i].chosen_on);
    for (size_t i = 0; i < grid->num_items; i++) peft_compare_item_free(&grid->items[i]);
    for (size_t i = 0; i < grid->num_tasks; i++) {
        free(grid->tasks[i].name);
        free(grid->tasks[i].word);
    }
    free(grid->tasks);
    free(grid->runs);
    free(grid->cells);
    free(grid->items);
    peft_lock_release(grid->lock);
    *grid = (peft_grid){0};
}

/* ---- runs ---- */

static json_t *settings_of(const peft_grid *grid, const peft_compare_cell *cell, json_t *changes)
{
    json_t *settings = json_pack("{s:s, s:s}", "model", grid->options->model, "variant", cell->item->variant);
    bool complete = settings && json_object_update(settings, cell->item->all) == 0 &&
                    (!cell->task->word || json_object_set_new(settings, "task", json_string(cell->task->word)) == 0) &&
                    json_object_update(settings, changes) == 0;
    if (complete) return settings;
    json_decref(settings);
    return NULL;
}

peft_status peft_grid_make_run_in(const peft_grid *grid, const char *output, const peft_compare_cell *cell,
                                  const char *place, json_t *changes, peft_train_run *run, peft_error *error)
{
    char folder[PATH_BYTES], name[PATH_BYTES];
    const char *label = cell->item->label;
    int bytes = snprintf(folder, sizeof folder, "%s/%s/%s/%s", output, cell->task->name, label, place);
    snprintf(name, sizeof name, "%s %s %s", cell->task->name, label, place);
    json_t *settings = changes ? settings_of(grid, cell, changes) : NULL;
    json_decref(changes);
    if (!settings) return no_memory(error);
    if ((size_t)bytes < sizeof folder) return peft_train_run_init(run, settings, folder, name, error);
    json_decref(settings);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "--output: the folder's name is too long");
}

peft_status peft_grid_make_run(const peft_grid *grid, const peft_compare_cell *cell, const char *place, json_t *changes,
                               peft_train_run *run, peft_error *error)
{
    return peft_grid_make_run_in(grid, grid->options->output, cell, place, changes, run, error);
}

/* Examples are held out of a run's training only where it chooses its best step on them. */
json_t *peft_grid_changes(const peft_grid *grid, const peft_compare_cell *cell, int64_t seed)
{
    json_t *changes = json_pack("{s:I, s:f}", "seed", (json_int_t)seed, "learning_rate", cell->learning_rate);
    if (changes && grid->options->learning_rates && strcmp(grid->options->train.keep, "best") != 0)
        json_object_set_new(changes, "hold_out", json_integer(0));
    return changes;
}

static peft_status make_run(peft_grid *grid, const peft_compare_cell *cell, int64_t seed, peft_error *error)
{
    char place[PLACE_BYTES];
    snprintf(place, sizeof place, "seed%" PRId64, seed);
    peft_train_run *run = &grid->runs[grid->num_runs];
    bool without_rate = isnan(cell->learning_rate);
    json_t *changes = without_rate ? json_object() : peft_grid_changes(grid, cell, seed);
    peft_status status = peft_grid_make_run(grid, cell, place, changes, run, error);
    if (status != PEFT_OK) return status;
    grid->num_runs++;
    if (!without_rate) return peft_train_run_look(run, &grid->how, error);
    peft_train_run_fail(run, "no learning rate: none of the candidates came to an end");
    return PEFT_OK;
}

peft_status peft_grid_make_runs(peft_grid *grid, peft_error *error)
{
    grid->runs = calloc(grid->num_cells * grid->num_seeds, sizeof *grid->runs);
    if (!grid->runs) return no_memory(error);
    peft_status status = PEFT_OK;
    for (size_t c = 0; c < grid->num_cells; c++)
        for (size_t s = 0; s < grid->num_seeds && status == PEFT_OK; s++)
            status = make_run(grid, &grid->cells[c], peft_grid_seed(grid, s), error);
    return status;
}
