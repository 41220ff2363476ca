/* An accepted checkpoint leaves a trainer that can go on: its step is one of the run's, and all numbers are finite. The
 * parts of the input are the header and the data of the file. */
#include "peft/checkpoint.h"

#include <math.h>

#include "peft/config.h"
#include "peft/inject.h"
#include "peft/task_objective.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_base.h"

enum { EXAMPLES = 6, LENGTH = 3 };

static peft_trainer trainer;

static void open_trainer(void)
{
    static int64_t offsets[EXAMPLES + 1];
    static int32_t ids[EXAMPLES * LENGTH], types[EXAMPLES * LENGTH];
    static int32_t classes[EXAMPLES];
    static peft_tokens tokens;
    static peft_train_options options;
    static const char *const names[] = {"query"};
    static peft_task_objective task;
    static peft_objective objective;
    static peft_value_set weights;
    peft_context *ctx;
    peft_model *model;
    peft_adapters *adapters;
    peft_adapter_config config;
    peft_error error = {0};
    for (int k = 0; k < EXAMPLES; k++) {
        offsets[k + 1] = offsets[k] + LENGTH;
        classes[k] = k % 3;
    }
    tokens = (peft_tokens){.count = EXAMPLES,
                           .offsets = offsets,
                           .input_ids = ids,
                           .token_type_ids = types,
                           .classes = classes,
                           .longest = LENGTH};
    FUZZ_CHECK(!peft_model_open(&model, fuzz_base(), NULL, &error));
    FUZZ_CHECK(!peft_context_open(&ctx, &(peft_context_options){.threads = 1}, &error));
    FUZZ_CHECK(!peft_adapter_config_init(&config, peft_variant_find("lora"), &error));
    FUZZ_CHECK(!peft_options_set_text(config.variant->options, config.options, "rank", "1", &error));
    config.targets.target_modules = json_pack("[s]", names[0]);
    FUZZ_CHECK(!peft_inject(model, config.variant, config.options, &config.targets, 0, &adapters, NULL, &error));
    FUZZ_CHECK(!peft_options_init(peft_train_option_table, &options, &error));
    options.batch_size = 2;
    FUZZ_CHECK(!peft_model_values(&weights, model, &error));
    task = (peft_task_objective){.model = model, .options = &options, .tokens = &tokens};
    objective = peft_task_objective_of(&task);
    const peft_value_set *sets[] = {&adapters->set, &weights};
    FUZZ_CHECK(!peft_trainer_open(&trainer, &options, ctx, sets, 2, &objective, &error));
    peft_adapter_config_free(&config);
}

static void check_state(const peft_progress_state *state)
{
    FUZZ_CHECK(trainer.step >= 0 && trainer.step <= trainer.num_steps);
    FUZZ_CHECK(state->best_step >= 0 && state->best_step <= trainer.step);
    FUZZ_CHECK(state->evaluations_since_best >= 0 && state->tokens >= 0);
    FUZZ_CHECK(isfinite(state->best_score) && isfinite(state->seconds));
    for (int64_t k = 0; k < trainer.parameters.num_items; k++)
        for (int64_t i = 0; i < peft_value_count(trainer.parameters.items[k].value); i++)
            FUZZ_CHECK(isfinite(trainer.parameters.items[k].value->data[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char settings[] = "{}";
    static float best[1024];
    if (!trainer.objective) open_trainer();
    FUZZ_CHECK(peft_parameters_floats(&trainer.parameters) <= 1024);
    fuzz_bytes parts[2];
    fuzz_split(data, size, parts, 2);
    const char *path = fuzz_write_safetensors("checkpoint.safetensors", parts[0], parts[1]);
    peft_progress_state state = {.best = best};
    peft_error error = {0};
    peft_status status = peft_checkpoint_load(path, &trainer, &state, settings, &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    check_state(&state);
    return 0;
}
