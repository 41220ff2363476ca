/* Accepted JSON can be written and read again, and is then the same. */
#include <string.h>

#include "io/json.h"
#include "tests/fuzz/fuzz.h"

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
