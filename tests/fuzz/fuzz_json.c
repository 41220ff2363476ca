/* Accepted JSON can be written and read again, and is then the same. */
#include <string.h>

#include "io/json.h"
#include "tests/fuzz/fuzz.h"

const fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("{\"r\": 8, \"lora_alpha\": 16.5, \"target_modules\": [\"query\", \"value\"], \"bias\": \"none\", \"x\": "
              "null}"),
    FUZZ_SEED("{\"a\": {\"b\": [[], {}, [1, -2, 3e-5]]}, \"\\u00e9\\n\": \"\xc3\xa9\", \"t\": true, \"f\": false}"),
    FUZZ_SEED("[{\"rank_pattern\": {\"^layer.(0|1)\\\\.q$\": 4}}, 9223372036854775807, -9223372036854775808]"),
    FUZZ_SEED(
        "{\"n\": NaN, \"i\": -Infinity, \"m\": 1000000000000000019884624838656, \"e\": 1e999, \"z\": \"\\u0000\"}"),
    {"", 0},
};
size_t fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root, *again;
    peft_error error = {0};
    peft_status status = peft_json_parse((const char *)data, size, "input", &root, &error);
    FUZZ_CHECK((status == PEFT_OK) == (root != NULL));
    FUZZ_CHECK(status == PEFT_OK || strncmp(error.message, "input", 5) == 0);
    if (status) return 0;
    fuzz_accepted++;
    char *text = json_dumps(root, 0);
    FUZZ_CHECK(text && peft_json_parse(text, strlen(text), "again", &again, &error) == PEFT_OK);
    FUZZ_CHECK(json_equal(root, again));
    free(text);
    json_decref(again);
    json_decref(root);
    return 0;
}
