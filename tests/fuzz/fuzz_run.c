/* What stands in a run's files is shown or refused; its log is cut behind the last whole line that counts. The parts of
 * the input are run.json, log.jsonl, observations.jsonl and predictions.safetensors. */

#include "peft/cli/inspect.h"
#include "peft/cli/runner/run_log.h"
#include "peft/log.h"
#include "peft/predictions.h"
#include "tests/fuzz/fuzz.h"

static void inspect(const peft_inspector *inspector, FILE *out)
{
    json_t *document;
    peft_error error = {0};
    peft_status status = inspector->describe(&(peft_inspection){.folder = fuzz_path("run")}, &document, &error);
    FUZZ_CHECK((status == PEFT_OK) == (document != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return;
    fuzz_accepted++;
    status = inspector->print(document, out, &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    json_decref(document);
}

static void cut_log(void)
{
    peft_log *log;
    peft_error error = {0};
    peft_log_step step;
    double last, largest;
    (void)peft_log_last_step(fuzz_path("run"), &step);
    (void)peft_log_scores(fuzz_path("run"), "dev", &last, &largest);
    FUZZ_CHECK(peft_log_open(&log, fuzz_path("run/log.jsonl"), 2, false, &error) == PEFT_OK);
    FUZZ_CHECK(peft_log_write(log, json_pack("{s:i, s:f}", "step", 3, "loss", 0.5), &error) == PEFT_OK);
    peft_log_close(log);
    FUZZ_CHECK(peft_log_last_step(fuzz_path("run"), &step) && step.step == 3);
}

static void read_predictions(void)
{
    peft_predictions p;
    peft_error error = {0};
    double accuracy;
    if (peft_predictions_load(&p, fuzz_path("run/predictions.safetensors"), &error) == PEFT_OK) {
        const peft_outcomes outcomes = peft_predictions_outcomes(&p);
        peft_status status = peft_metric_compute(p.classes ? "accuracy" : "spearman", &outcomes, &accuracy, &error);
        FUZZ_CHECK(status == PEFT_OK && accuracy >= -1.0 && accuracy <= 1.0);
        fuzz_accepted++;
    }
    peft_predictions_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    FUZZ_CHECK(nowhere != NULL);
    fuzz_bytes parts[4];
    fuzz_split(data, size, parts, 4);
    fuzz_write("run/run.json", parts[0]);
    fuzz_write("run/log.jsonl", parts[1]);
    fuzz_write("run/observations.jsonl", parts[2]);
    fuzz_write("run/predictions.safetensors", parts[3]);
    inspect(&peft_inspect_run, nowhere);
    if (parts[2].data) inspect(&peft_inspect_decisions, nowhere);
    cut_log();
    read_predictions();
    return 0;
}
