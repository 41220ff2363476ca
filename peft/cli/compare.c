/* peft/cli/compare.c - `peft compare`: tasks x variants x seeds, each run a child `peft train`. */
#include "peft/cli/commands.h"
#include "peft/cli/compare/differences.h"
#include "peft/cli/compare/dry_run.h"
#include "peft/cli/compare/grid.h"
#include "peft/cli/compare/results.h"
#include "peft/cli/compare/search.h"
#include "peft/cli/compare/summary_table.h"
#include "peft/cli/job.h"
#include "peft/cli/runner/pool.h"

static peft_status save(void *grid, peft_error *error)
{
    return peft_compare_save(grid, error);
}

static peft_status run_all(peft_grid *grid, peft_output *output, peft_error *error)
{
    const peft_pool pool = {.runs = grid->runs,
                            .count = grid->num_runs,
                            .jobs = grid->options->jobs,
                            .how = grid->how,
                            .label = "compare",
                            .output = output,
                            .ended = save,
                            .argument = grid};
    peft_status status = peft_compare_save(grid, error);
    return status == PEFT_OK ? peft_pool_run(&pool, error) : status;
}

/* What the comparison is to say, besides its results. */
typedef struct findings {
    json_t *summary, *differences;
} findings;

static peft_status print_json(const peft_grid *grid, const findings *f, peft_output *output, peft_error *error)
{
    json_t *document = json_pack("{s:s, s:o, s:O, s:O}", "output", grid->options->output, "results",
                                 peft_compare_results(grid), "summary", f->summary, "differences", f->differences);
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "results: out of memory");
    peft_status status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static void print_failures(const peft_grid *grid, peft_output *output)
{
    for (size_t i = 0; i < grid->num_runs; i++)
        if (grid->runs[i].state != PEFT_RUN_DONE)
            peft_output_say(output, PEFT_SAY_ERROR, "%s: %s: %s", grid->runs[i].folder,
                            peft_run_state_name(grid->runs[i].state),
                            grid->runs[i].message ? grid->runs[i].message : "see its messages.txt");
}

static peft_status print_text(const peft_grid *grid, const findings *f, peft_output *output, peft_error *error)
{
    peft_status status = peft_compare_print(f->summary, output, error);
    if (status != PEFT_OK) return status;
    fprintf(output->results,
            "\nMean and standard deviation over the seeds, on dev%s. Runs, intervals, tests: "
            "%s/{results,summary,differences}.csv\n",
            grid->options->learning_rates ? "; learning rates were chosen on examples held out of train" : "",
            grid->options->output);
    peft_compare_print_conclusions(f->differences, output->results);
    return PEFT_OK;
}

static peft_status find(const peft_grid *grid, findings *f, peft_output *output, peft_error *error)
{
    f->summary = peft_compare_summary(grid);
    if (!f->summary) return peft_fail(error, PEFT_ERR_MEMORY, "results: out of memory");
    peft_status status = peft_compare_differences(grid, output, &f->differences, error);
    return status == PEFT_OK ? peft_compare_save_differences(grid, f->differences, error) : status;
}

static peft_status report(const peft_grid *grid, peft_output *output, peft_error *error)
{
    findings f = {NULL, NULL};
    peft_status status = find(grid, &f, output, error);
    if (status == PEFT_OK) status = (output->json ? print_json : print_text)(grid, &f, output, error);
    json_decref(f.summary);
    json_decref(f.differences);
    if (status != PEFT_OK) return status;
    print_failures(grid, output);
    output->failed = peft_runs_count(grid->runs, grid->num_runs, PEFT_RUN_DONE) < grid->num_runs;
    return PEFT_OK;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_grid grid = {0};
    peft_status status = peft_compare_options_check(arguments->values, error);
    if (status == PEFT_OK) status = peft_grid_open(&grid, arguments, error);
    if (status == PEFT_OK && grid.options->dry_run) {
        status = peft_compare_dry_run(&grid, output, error);
        peft_grid_close(&grid);
        return status;
    }
    if (status == PEFT_OK) status = peft_search_learning_rates(&grid, output, error);
    if (status == PEFT_OK) status = peft_grid_make_runs(&grid, error);
    if (status == PEFT_OK) status = run_all(&grid, output, error);
    if (status == PEFT_OK) status = report(&grid, output, error);
    peft_grid_close(&grid);
    return status;
}

static const char *const required[] = {"model", "variants", "output", NULL};

const peft_command peft_command_compare = {
    .name = "compare",
    .summary = "train variants on tasks with several seeds, and tabulate them",
    .example = "peft compare --model minilm --tasks wn-class,wn-entail --data data \\\n"
               "    --variants head,lora:rank=2,lora:rank=8 --output runs/first\n"
               "peft compare --model minilm --train my.csv --dev my-dev.csv --variants lora,rslora \\\n"
               "    --learning-rates 3e-4,1e-3,3e-3 --output runs/mine",
    .description =
        "Each run is a process of its own in DIR/<task>/<variant>/seed<N>/; one that fails leaves the others alone. "
        "results.csv has a row for each run and grows while they go on, summary.csv has means, deviations and 95 % "
        "intervals, differences.csv sets each variant beside each other one: tests over the seeds and on the same "
        "examples, and a sentence. Fewer than six seeds can show no difference.\n"
        "Options of one variant alone stand behind its name: lora:rank=8:alpha=16. --learning-rates are tried with the "
        "first seed and scored on examples held out of train; dev is for reporting only. --budget makes adapters "
        "equally large. With either, head, full and lora are compared, too.\n"
        "Ctrl-C saves checkpoints and stops; --resume keeps what is finished and goes on with the rest. --dry-run "
        "tries "
        "a few steps of each variant and shows how many hours the whole will take.",
    .parts = peft_compare_parts,
    .bytes = sizeof(peft_compare_options),
    .required = required,
    .selector = "variants",
    .extension = peft_variant_extension,
    .run = run,
};
