/* Accepted YAML is a value that JSON can hold; refused YAML says where. */
#include "io/yaml.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root;
    peft_error error = {0};
    peft_status status = peft_yaml_parse((const char *)data, size, "input", &root, &error);
    FUZZ_CHECK((status == PEFT_OK) == (root != NULL));
    FUZZ_CHECK(status == PEFT_OK || strncmp(error.message, "input:", 6) == 0);
    if (status) return 0;
    fuzz_accepted++;
    char *text = json_dumps(root, JSON_ENCODE_ANY);
    json_t *again = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    FUZZ_CHECK(again && json_equal(root, again));
    free(text);
    json_decref(again);
    json_decref(root);
    return 0;
}
