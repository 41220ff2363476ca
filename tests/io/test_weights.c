/* Tests of io/weights.c: one file or shards look alike, and an index that does not fit its shards is refused. */
#include "io/weights.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "io/safetensors.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;

static void write_tensors(const char *file, const char *const *names, size_t count)
{
    peft_file_tensor tensors[4];
    for (size_t i = 0; i < count; i++)
        tensors[i] = (peft_file_tensor){
            .name = names[i], .dtype = PEFT_U8, .shape = peft_shape_1(1), .data = names[i], .bytes = 1};
    ck_assert_int_eq(peft_safetensors_write(scratch(file), tensors, count, NULL, 0, &error), PEFT_OK);
}

static void write_index(const char *map)
{
    char text[1024];
    int length = snprintf(text, sizeof text, "{\"metadata\": {\"total_size\": 4}, \"weight_map\": %s}", map);
    scratch_write("model.safetensors.index.json", text, (size_t)length);
}

static const char *const all[] = {"a", "b", "c", "d"}, *const outer[] = {"a", "d"}, *const inner[] = {"b", "c"};

static void write_shards(void)
{
    write_tensors("1.safetensors", outer, 2);
    write_tensors("2.safetensors", inner, 2);
}

static const char right_map[] = "{\"d\": \"1.safetensors\", \"b\": \"2.safetensors\", \"c\": \"2.safetensors\","
                                " \"a\": \"1.safetensors\"}";

static void expect_all_tensors(size_t num_files)
{
    peft_weights *weights;
    ck_assert_msg(peft_weights_open(scratch(""), &weights, &error) == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(peft_weights_count(weights), 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(peft_weights_at(weights, i)->name, all[i]);
        ck_assert_mem_eq(peft_weights_at(weights, i)->data, all[i], 1);
        ck_assert_ptr_eq(peft_weights_find(weights, all[i]), peft_weights_at(weights, i));
    }
    ck_assert_ptr_null(peft_weights_find(weights, "e"));
    ck_assert_uint_eq(peft_weights_num_files(weights), num_files);
    for (size_t i = 0; i < num_files; i++) ck_assert_ptr_nonnull(strstr(peft_weights_path(weights, i), ".safetensors"));
    peft_weights_close(weights);
    peft_weights_close(NULL);
}

START_TEST(one_file_is_read)
{
    write_tensors("model.safetensors", all, 4);
    expect_all_tensors(1);
}
END_TEST

START_TEST(shards_read_like_one_file)
{
    write_shards();
    write_index(right_map);
    expect_all_tensors(2);
}
END_TEST

START_TEST(one_file_wins_over_an_index)
{
    write_tensors("model.safetensors", all, 4);
    write_index("{\"a\": \"missing.safetensors\"}");
    expect_all_tensors(1);
}
END_TEST

static const struct {
    const char *map, *message;
} wrong_maps[] = {
    {"null", "expected a weight_map"},
    {"{}", "expected a weight_map"},
    {"[]", "weight_map: expected an object, found a list of 0"},
    {"{\"a\": 1}", "weight_map: a: expected the name of a .safetensors file in this folder, found 1"},
    {"{\"a\": \"../1.safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"./1.safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"/tmp/1.safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"..\\\\1.safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"1..safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"pytorch_model.bin\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \".safetensors\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"\"}", "expected the name of a .safetensors file in this folder"},
    {"{\"a\": \"3.safetensors\"}", "3.safetensors: cannot open"},
    {"{\"a\": \"1.safetensors\", \"d\": \"2.safetensors\", \"b\": \"2.safetensors\", \"c\": \"2.safetensors\"}",
     "weight_map: d: expected in 2.safetensors, found in 1.safetensors"},
    {"{\"a\": \"1.safetensors\", \"d\": \"1.safetensors\", \"b\": \"2.safetensors\"}",
     "weight_map: c: expected in no shard, found in 2.safetensors"},
    {"{\"a\": \"1.safetensors\", \"d\": \"1.safetensors\", \"e\": \"1.safetensors\"}",
     "weight_map: e: expected in 1.safetensors, found no such tensor there"},
};

START_TEST(an_index_that_does_not_fit_is_refused)
{
    peft_weights *weights;
    write_shards();
    write_index(wrong_maps[_i].map);
    ck_assert_int_ne(peft_weights_open(scratch(""), &weights, &error), PEFT_OK);
    ck_assert_ptr_null(weights);
    ck_assert_msg(strstr(error.message, wrong_maps[_i].message) != NULL, "%s", error.message);
}
END_TEST

START_TEST(a_tensor_in_two_shards_is_refused)
{
    peft_weights *weights;
    write_tensors("1.safetensors", all, 4);
    write_tensors("2.safetensors", inner, 2);
    write_index(right_map);
    ck_assert_int_eq(peft_weights_open(scratch(""), &weights, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "weight_map: b: expected in 2.safetensors, found in 1.safetensors"));
}
END_TEST

/* Of a file with a checksum each byte counts; one without is taken as it is. */
START_TEST(a_damaged_file_is_refused_where_it_carries_a_checksum)
{
    static const peft_key_value checksum = {PEFT_CHECKSUM_KEY, NULL};
    const peft_file_tensor tensor = {
        .name = "a", .dtype = PEFT_U8, .shape = peft_shape_1(5), .data = "bytes", .bytes = 5};
    for (size_t with = 0; with < 2; with++) {
        peft_weights *weights;
        const char *path = scratch("model.safetensors");
        ck_assert_int_eq(peft_safetensors_write(path, &tensor, 1, &checksum, with, &error), PEFT_OK);
        ck_assert_msg(peft_weights_open(scratch(""), &weights, &error) == PEFT_OK, "%s", error.message);
        ck_assert_mem_eq(peft_weights_at(weights, 0)->data, "bytes", 5); /* also after its pages were given back */
        peft_weights_close(weights);
        FILE *file = fopen(path, "r+b");
        ck_assert(file && fseek(file, -1, SEEK_END) == 0 && fputc('t', file) == 't' && fclose(file) == 0);
        ck_assert_int_eq(peft_weights_open(scratch(""), &weights, &error), with ? PEFT_ERR_FORMAT : PEFT_OK);
        if (with) ck_assert_ptr_nonnull(strstr(error.message, "model.safetensors: damaged: expected the checksum"));
        peft_weights_close(weights);
    }
}
END_TEST

START_TEST(pickle_is_refused_with_what_to_do)
{
    static const char *const names[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    peft_weights *weights;
    const char *path = scratch_write(names[_i], "\x80\x02", 2);
    ck_assert_int_eq(peft_weights_open(scratch(""), &weights, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert(strstr(error.message, path) && strstr(error.message, "pickle") && strstr(error.message, "convert it to"));
}
END_TEST

START_TEST(a_folder_without_weights_is_refused)
{
    peft_weights *weights;
    ck_assert_int_eq(peft_weights_open(scratch("missing"), &weights, &error), PEFT_ERR_FILE);
    ck_assert_int_eq(peft_weights_open(scratch(""), &weights, &error), PEFT_ERR_FILE);
    ck_assert_ptr_nonnull(strstr(error.message, "found neither model.safetensors nor model.safetensors.index.json"));
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    bool failed = true;
    const char *folder = scratch(""); /* Check allocates too: nothing of it while one may fail */
    write_shards();
    write_index(right_map);
    for (int64_t call = 0; failed; call++) {
        peft_weights *weights;
        fail_own_allocation(call);
        peft_status status = peft_weights_open(folder, &weights, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_weights_close(weights);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("weights");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_test(tests, one_file_is_read);
    tcase_add_test(tests, shards_read_like_one_file);
    tcase_add_test(tests, one_file_wins_over_an_index);
    tcase_add_loop_test(tests, an_index_that_does_not_fit_is_refused, 0, sizeof wrong_maps / sizeof wrong_maps[0]);
    tcase_add_test(tests, a_tensor_in_two_shards_is_refused);
    tcase_add_test(tests, a_damaged_file_is_refused_where_it_carries_a_checksum);
    tcase_add_loop_test(tests, pickle_is_refused_with_what_to_do, 0, 2);
    tcase_add_test(tests, a_folder_without_weights_is_refused);
    tcase_add_test(tests, running_out_of_memory_is_reported);
    return run_tests(tests);
}
