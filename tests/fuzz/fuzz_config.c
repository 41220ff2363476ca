/* A model that opens has sizes above 0 and as many weights as it says. The input is its config.json; the weights beside
 * it are those of fuzz_base. */
#include "models/model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peft_model *model;
    peft_error error = {0};
    fuzz_base();
    fuzz_write("base/config.json", (fuzz_bytes){data, size});
    peft_status status = peft_model_open(&model, fuzz_path("base"), NULL, &error);
    FUZZ_CHECK((status == PEFT_OK) == (model != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    FUZZ_CHECK(peft_model_hidden_size(model) > 0 && peft_model_num_labels(model) > 0 && count > 0);
    FUZZ_CHECK(peft_model_vocab_size(model) > 0 && peft_model_max_length(model) > 0);
    for (int64_t i = 0; i < count; i++) FUZZ_CHECK(weights[i].stored.data || weights[i].value);
    peft_model_close(model);
    return 0;
}
