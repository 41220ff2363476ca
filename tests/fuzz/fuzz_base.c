#include "tests/fuzz/fuzz_base.h"

#include <string.h>

#include "io/json.h"
#include "models/random.h"
#include "tests/fuzz/fuzz.h"

static const char config[] =
    "{\"model_type\": \"bert\", \"hidden_size\": 4, \"num_hidden_layers\": 1, \"num_attention_heads\": 1,"
    " \"intermediate_size\": 4, \"vocab_size\": 8, \"max_position_embeddings\": 8, \"type_vocab_size\": 2,"
    " \"hidden_act\": \"gelu\", \"id2label\": {\"0\": \"no\", \"1\": \"perhaps\", \"2\": \"yes\"}}";
static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n!\n";

const char *fuzz_base(void)
{
    static bool made;
    const char *folder = fuzz_path("base");
    if (made) return folder;
    made = true;
    json_t *root;
    FUZZ_CHECK(peft_json_parse(config, sizeof config - 1, "config", &root, NULL) == PEFT_OK);
    fuzz_write("base/vocab.txt", (fuzz_bytes){(const uint8_t *)vocab, sizeof vocab - 1});
    FUZZ_CHECK(peft_random_model_write(folder, root, 1, NULL) == PEFT_OK);
    json_decref(root);
    return folder;
}
