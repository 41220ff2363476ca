/* An accepted generator makes an adapter, or says which of its values is not finite; a library is read or refused. The
 * parts of the input are generator.json, the header of generator.safetensors, its data, and library.json; the adapters
 * are the fixture's. */
#include "peft/generator.h"

#include "io/file.h"
#include "peft/library_folder.h"
#include "tests/fuzz/fuzz.h"

static void copy_fixture(const char *name, const char *to)
{
    char path[256];
    peft_mapped_file file;
    snprintf(path, sizeof path, "goldens/models/bert/adapter/%s", name);
    FUZZ_CHECK(peft_file_map(fuzz_fixture(path), &file, NULL) == PEFT_OK);
    snprintf(path, sizeof path, "%s/%s", to, name);
    fuzz_write(path, (fuzz_bytes){file.data, file.bytes});
    peft_file_unmap(&file);
}

static void copy_adapter(const char *to)
{
    copy_fixture("adapter_config.json", to);
    copy_fixture("adapter_model.safetensors", to);
}

static peft_status made(void *argument, int64_t index, peft_error *error)
{
    (void)error;
    FUZZ_CHECK(index == 0);
    ++*(int *)argument;
    return PEFT_OK;
}

static void make(peft_generator *generator)
{
    peft_context *ctx;
    peft_error error = {0};
    const peft_context_options options = {.threads = 1, .backend = "portable"};
    const int64_t size = peft_generator_vector_size(generator);
    float *vector = calloc((size_t)size, sizeof *vector);
    int count = 0;
    double cosine;
    FUZZ_CHECK(vector && peft_context_open(&ctx, &options, &error) == PEFT_OK);
    vector[0] = 1;
    peft_status status = peft_generator_make(generator, ctx, vector, 1, made, &count, &error);
    FUZZ_CHECK(status == PEFT_OK ? count == 1 : *error.message != '\0');
    (void)peft_generator_nearest(generator, vector, &cosine);
    peft_context_close(ctx);
    free(vector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool has_adapters;
    fuzz_bytes parts[4];
    peft_error error = {0};
    peft_generator *generator;
    peft_library_folder library;
    if (!has_adapters) {
        copy_adapter("generator/adapter");
        copy_adapter("library/a");
        has_adapters = true;
    }
    fuzz_split(data, size, parts, 4);
    fuzz_write("generator/generator.json", parts[0]);
    fuzz_write_safetensors("generator/generator.safetensors", parts[1], parts[2]);
    fuzz_write("library/library.json", parts[3]);
    peft_status status = peft_generator_open(&generator, fuzz_path("generator"), &error);
    FUZZ_CHECK((status == PEFT_OK) == (generator != NULL) && (status == PEFT_OK || *error.message));
    if (generator) {
        fuzz_accepted++;
        make(generator);
    }
    peft_generator_close(generator);
    status = peft_library_folder_open(&library, fuzz_path("library"), &error);
    FUZZ_CHECK(status == PEFT_OK ? library.library.num_tasks > 0 : *error.message != '\0');
    peft_library_folder_close(&library);
    return 0;
}
