/* An accepted adapter is saved and accepted again, with the same tensors; looking at it without a model ends in an
 * answer as well. The parts of the input are adapter_config.json, the header of adapter_model.safetensors, its data,
 * and run.json. */
#include "peft/adapter_folder.h"

#include "peft/adapter_read.h"
#include "peft/inject.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_base.h"

typedef struct loaded {
    peft_model *model;
    peft_adapters *adapters;
    peft_adapter_config config;
} loaded;

static peft_status open_onto_base(loaded *l, const char *folder, peft_error *error)
{
    *l = (loaded){0};
    FUZZ_CHECK(peft_model_open(&l->model, fuzz_base(), NULL, NULL) == PEFT_OK);
    peft_status status = peft_adapter_load(l->model, folder, NULL, &l->adapters, &l->config, error);
    FUZZ_CHECK(status == PEFT_OK || !l->adapters);
    return status;
}

static void close_all(loaded *l)
{
    if (l->adapters) peft_detach(l->model, l->adapters);
    peft_adapters_free(l->adapters);
    peft_adapter_config_free(&l->config);
    peft_model_close(l->model);
}

static void look_at(const char *folder)
{
    peft_adapter_contents contents;
    peft_error error = {0};
    peft_model_options head;
    peft_status status = peft_adapter_read(&contents, folder, NULL, NULL, &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status == PEFT_OK) peft_adapter_contents_free(&contents);
    status = peft_adapter_head(folder, &head, &error);
    FUZZ_CHECK(status == PEFT_OK ? head.num_labels >= 0 : *error.message != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes parts[4];
    fuzz_split(data, size, parts, 4);
    fuzz_write("adapter/adapter_config.json", parts[0]);
    fuzz_write_safetensors("adapter/adapter_model.safetensors", parts[1], parts[2]);
    fuzz_write("adapter/run.json", parts[3]);
    look_at(fuzz_path("adapter"));

    loaded first, second;
    peft_error error = {0};
    peft_status status = open_onto_base(&first, fuzz_path("adapter"), &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status == PEFT_OK) {
        fuzz_accepted++;
        FUZZ_CHECK(peft_adapter_save(first.model, first.adapters, &first.config.targets, fuzz_path("again"), &error) ==
                   PEFT_OK);
        status = open_onto_base(&second, fuzz_path("again"), &error);
        if (status) fprintf(stderr, "%s\n", error.message);
        FUZZ_CHECK(status == PEFT_OK);
        FUZZ_CHECK(!first.adapters == !second.adapters);
        FUZZ_CHECK(!first.adapters || first.adapters->num_layers == second.adapters->num_layers);
        close_all(&second);
    }
    close_all(&first);
    return 0;
}
