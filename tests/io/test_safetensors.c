/* Tests of io/safetensors_read.c and io/safetensors_write.c: files of the original implementation read right and are
 * written again byte by byte; each check of the format has files that violate it alone. */
#include "io/safetensors.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;

/* A file in memory: length, header, `bytes` of data. */
typedef struct image {
    unsigned char *bytes;
    size_t size;
} image;

static image make_image(const char *header, size_t length, size_t data_bytes)
{
    image made = {.size = 8 + length + data_bytes};
    made.bytes = calloc(made.size, 1);
    ck_assert_ptr_nonnull(made.bytes);
    for (int i = 0; i < 8; i++) made.bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(made.bytes + 8, header, length);
    return made;
}

static peft_status open_header(const char *header, size_t data_bytes, peft_safetensors **file)
{
    image made = make_image(header, strlen(header), data_bytes);
    peft_status status = peft_safetensors_open_memory("x", made.bytes, made.size, file, &error);
    free(made.bytes);
    return status;
}

/* ---- reading ---- */

static const char *fixture(void)
{
    static char path[1024];
    const char *folder = getenv("PEFT_FIXTURES");
    snprintf(path, sizeof path, "%s/io/lokr.safetensors", folder ? folder : "tests/fixtures");
    return path;
}

static peft_safetensors *open_fixture(void)
{
    peft_safetensors *file;
    ck_assert_msg(peft_safetensors_open(fixture(), &file, &error) == PEFT_OK, "%s", error.message);
    return file;
}

/* Shapes and values were read from the file with Python's json and struct. */
START_TEST(a_file_of_the_original_implementation_reads_right)
{
    peft_safetensors *file = open_fixture();
    ck_assert_uint_eq(peft_safetensors_count(file), 10);
    ck_assert_str_eq(peft_safetensors_metadata(file, "format"), "pt");
    ck_assert_ptr_null(peft_safetensors_metadata(file, "method"));
    ck_assert_str_eq(peft_safetensors_path(file), fixture());

    const peft_file_tensor *weight = peft_safetensors_find(file, "base_model.model.classifier.weight");
    ck_assert_ptr_nonnull(weight);
    ck_assert_int_eq(weight->dtype, PEFT_F32);
    const peft_shape shape = peft_shape_2(3, 32);
    ck_assert(peft_shape_equal(&weight->shape, &shape));
    float values[96];
    ck_assert_int_eq(peft_file_tensor_read_f32(weight, values, &error), PEFT_OK);
    ck_assert(values[0] == -0x1.a89922p-4f && values[1] == -0x1.4c1e74p-2f && values[2] == 0x1.a9cc0cp-7f);
    peft_safetensors_close(file);
}
END_TEST

START_TEST(tensors_come_by_name_and_are_found_by_name)
{
    peft_safetensors *file = open_fixture();
    for (size_t i = 0; i < peft_safetensors_count(file); i++) {
        const peft_file_tensor *tensor = peft_safetensors_at(file, i);
        ck_assert_ptr_eq(peft_safetensors_find(file, tensor->name), tensor);
        if (i) ck_assert_str_lt(peft_safetensors_at(file, i - 1)->name, tensor->name);
    }
    ck_assert_ptr_null(peft_safetensors_find(file, ""));
    ck_assert_ptr_null(peft_safetensors_find(file, "__metadata__"));
    ck_assert_ptr_null(peft_safetensors_find(file, "base_model.model.classifier.weights"));
    peft_safetensors_close(file);
    peft_safetensors_close(NULL);
}
END_TEST

static const struct {
    const char *header;
    size_t data_bytes, count;
} legal[] = {
    {"{}", 0, 0},
    {"{}      ", 0, 0},
    {"{\"__metadata__\":{}}", 0, 0},
    {"{\"__metadata__\":null}", 0, 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, 1},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,2,1,3],\"data_offsets\":[0,6]}}", 6, 1},
    {"{\"a\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":\"BOOL\"}} ", 1, 1},
    {"{\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[8,10]},"
     "\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
     "\"c\":{\"dtype\":\"I32\",\"shape\":[0],\"data_offsets\":[8,8]},"
     "\"d\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[10,12]},"
     "\"e\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[12,20]}}",
     20, 5},
    {"{\"\xc3\xa9\\n\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, 1},
};

START_TEST(unusual_but_legal_headers_are_read)
{
    peft_safetensors *file;
    ck_assert_msg(open_header(legal[_i].header, legal[_i].data_bytes, &file) == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(peft_safetensors_count(file), legal[_i].count);
    peft_safetensors_close(file);
}
END_TEST

/* ---- refusing ---- */

/* One tensor "a" with the given fields. */
#define TENSOR(fields)      "{\"a\":{" fields "}}"
#define F32(shape, offsets) TENSOR("\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets)
#define U8(name, begin, end, size)                                                                                     \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" size "],\"data_offsets\":[" begin "," end "]}"

static const struct {
    const char *header;
    size_t data_bytes;
    peft_status status;
    const char *message;
} hostile[] = {
    /* 2: one JSON object from the first byte, duplicate keys at no level, then spaces */
    {"", 0, PEFT_ERR_FORMAT, "expected a JSON object"},
    {"   ", 0, PEFT_ERR_FORMAT, "expected a JSON object"},
    {" {}", 0, PEFT_ERR_FORMAT, "expected a JSON object"},
    {"[]", 0, PEFT_ERR_FORMAT, "expected a JSON object"},
    {"{}\n", 0, PEFT_ERR_FORMAT, "expected a JSON object"},
    {"{}{}", 0, PEFT_ERR_FORMAT, "end of file expected"},
    {"{\"a\"}", 0, PEFT_ERR_FORMAT, "':' expected"},
    {"{\"__metadata__\":{\"a\":\"\xff\"}}", 0, PEFT_ERR_FORMAT, "unable to decode byte 0xff"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, PEFT_ERR_FORMAT, "duplicate"},
    {"{\"__metadata__\":{\"k\":\"v\",\"k\":\"v\"}}", 0, PEFT_ERR_FORMAT, "duplicate"},
    {"{" U8("a", "0", "1", "1") "," U8("a", "0", "1", "1") "}", 1, PEFT_ERR_FORMAT, "duplicate"},
    {TENSOR("\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]"), 1, PEFT_ERR_FORMAT, "duplicate"},
    {"{\"__metadata__\":{\"k\":1}}", 0, PEFT_ERR_FORMAT, "__metadata__: k: expected a string, found 1"},
    {"{\"__metadata__\":\"k\"}", 0, PEFT_ERR_FORMAT, "__metadata__: expected an object, found \"k\""},
    /* 3: exactly the three fields, a known dtype, dims that are integers of 0 or more */
    {"{\"a\":1}", 0, PEFT_ERR_FORMAT, "a: expected the fields"},
    {"{\"a\":[]}", 0, PEFT_ERR_FORMAT, "a: expected the fields"},
    {"{\"a\":{}}", 0, PEFT_ERR_FORMAT, "a: expected the fields"},
    {TENSOR("\"shape\":[1],\"data_offsets\":[0,1]"), 1, PEFT_ERR_FORMAT, "a: expected the fields"},
    {TENSOR("\"dtype\":\"U8\",\"data_offsets\":[0,1]"), 1, PEFT_ERR_FORMAT, "a: expected the fields"},
    {TENSOR("\"dtype\":\"U8\",\"shape\":[1]"), 1, PEFT_ERR_FORMAT, "a: expected the fields"},
    {TENSOR("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"strides\":[1]"), 1, PEFT_ERR_FORMAT,
     "expected the fields"},
    {TENSOR("\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, PEFT_ERR_FORMAT,
     "a dtype such as \"F32\", found \"F31\""},
    {TENSOR("\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, PEFT_ERR_FORMAT, "found \"f32\""},
    {TENSOR("\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]"), 4, PEFT_ERR_FORMAT, "found 4"},
    {TENSOR("\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]"), 1, PEFT_ERR_UNSUPPORTED,
     "dtype I8 is not offered"},
    {TENSOR("\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]"), 1, PEFT_ERR_UNSUPPORTED, "F8_E4M3"},
    {TENSOR("\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]"), 1, PEFT_ERR_UNSUPPORTED, "F4"},
    {F32("4", "[0,4]"), 4, PEFT_ERR_FORMAT, "shape: expected a list, found 4"},
    {F32("{}", "[0,4]"), 4, PEFT_ERR_FORMAT, "shape: expected a list"},
    {F32("[-1]", "[0,4]"), 4, PEFT_ERR_FORMAT, "integers of 0 or more, found -1"},
    {F32("[1.0]", "[0,4]"), 4, PEFT_ERR_FORMAT, "integers of 0 or more, found 1.0"},
    {F32("[\"1\"]", "[0,4]"), 4, PEFT_ERR_FORMAT, "integers of 0 or more, found \"1\""},
    {F32("[true]", "[0,4]"), 4, PEFT_ERR_FORMAT, "integers of 0 or more, found true"},
    {F32("[18446744073709551616]", "[0,4]"), 4, PEFT_ERR_FORMAT, "integers of 0 or more, found 1.84"},
    {F32("[1,1,1,1,1]", "[0,4]"), 4, PEFT_ERR_UNSUPPORTED, "at most 4 dimensions, found 5"},
    {F32("[1]", "4"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end], found 4"},
    {F32("[1]", "[4]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    {F32("[1]", "[0,4,4]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    {F32("[1]", "[0,4.0]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    {F32("[1]", "[-4,0]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    {F32("[1]", "[4,0]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    {F32("[1]", "[null,4]"), 4, PEFT_ERR_FORMAT, "data_offsets: expected [begin, end]"},
    /* 4: the product of the dims fits, and is what the offsets say */
    {F32("[2305843009213693952]", "[0,0]"), 0, PEFT_ERR_FORMAT, "more bytes than any memory"},
    {F32("[4294967296,4294967296]", "[0,0]"), 0, PEFT_ERR_FORMAT, "more bytes than any memory"},
    {F32("[0,4294967296,4294967296]", "[0,0]"), 0, PEFT_ERR_FORMAT, "more bytes than any memory"},
    {F32("[2]", "[0,4]"), 4, PEFT_ERR_FORMAT, "expected 8 bytes for F32 [2], found 4"},
    {F32("[1]", "[0,5]"), 5, PEFT_ERR_FORMAT, "expected 4 bytes for F32 [1], found 5"},
    {F32("[]", "[0,0]"), 0, PEFT_ERR_FORMAT, "expected 4 bytes for F32 [], found 0"},
    {F32("[0]", "[0,4]"), 4, PEFT_ERR_FORMAT, "expected 0 bytes for F32 [0], found 4"},
    /* 5: the tensors tile the data */
    {"{" U8("a", "1", "2", "1") "}", 2, PEFT_ERR_FORMAT, "a: expected its data to begin at byte 0, where"},
    {"{" U8("a", "0", "1", "1") "," U8("b", "2", "3", "1") "}", 3, PEFT_ERR_FORMAT,
     "b: expected its data to begin at byte 1"},
    {"{" U8("a", "0", "2", "2") "," U8("b", "1", "3", "2") "}", 3, PEFT_ERR_FORMAT,
     "b: expected its data to begin at byte 2"},
    {"{" U8("a", "0", "1", "1") "," U8("b", "0", "1", "1") "}", 1, PEFT_ERR_FORMAT,
     "expected its data to begin at byte 1"},
    {"{" U8("a", "0", "4", "4") "," U8("b", "2", "2", "0") "}", 4, PEFT_ERR_FORMAT,
     "b: expected its data to begin at byte 4"},
    /* 6: the last byte of data is the last of the file */
    {"{" U8("a", "0", "1", "1") "}", 2, PEFT_ERR_FORMAT, "expected 1 bytes of data, found 2"},
    {"{}", 1, PEFT_ERR_FORMAT, "expected 0 bytes of data, found 1"},
    {"{" U8("a", "0", "2", "2") "}", 1, PEFT_ERR_FORMAT, "the data end at byte 2, but the file has only 1"},
    {"{" U8("a", "9223372036854775807", "9223372036854775807", "0") "}", 0, PEFT_ERR_FORMAT, "the data end at byte"},
};

START_TEST(hostile_headers_are_refused)
{
    peft_safetensors *file;
    ck_assert_int_eq(open_header(hostile[_i].header, hostile[_i].data_bytes, &file), hostile[_i].status);
    ck_assert_ptr_null(file);
    ck_assert_msg(strncmp(error.message, "x:", 2) == 0 && strstr(error.message, hostile[_i].message), "'%s' lacks '%s'",
                  error.message, hostile[_i].message);
}
END_TEST

/* Check 1, for each length that the file may claim; the file has 16 bytes. */
static const struct {
    uint64_t length;
    const char *message;
} lengths[] = {
    {9, "expected a header of 9 bytes, found only 8"},
    {100000000, "expected a header of 100000000 bytes, found only 8"},
    {100000001, "expected a header of at most 100000000 bytes, found 100000001"},
    {UINT64_MAX - 7, "found 18446744073709551608"},
    {UINT64_MAX, "found 18446744073709551615"},
};

START_TEST(header_lengths_beyond_the_file_are_refused)
{
    peft_safetensors *file;
    image made = make_image("{}      ", 8, 0);
    for (int i = 0; i < 8; i++) made.bytes[i] = (unsigned char)(lengths[_i].length >> 8 * i);
    ck_assert_int_eq(peft_safetensors_open_memory("x", made.bytes, made.size, &file, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, lengths[_i].message) != NULL, "%s", error.message);
    free(made.bytes);
}
END_TEST

START_TEST(a_header_with_a_zero_byte_is_refused)
{
    peft_safetensors *file;
    image made = make_image("{}\0{}", 5, 0);
    ck_assert_int_eq(peft_safetensors_open_memory("x", made.bytes, made.size, &file, &error), PEFT_ERR_FORMAT);
    free(made.bytes);
}
END_TEST

/* Each copy lies in memory of exactly its size, so that a sanitizer sees a read beyond it. */
START_TEST(a_file_that_is_cut_or_prolonged_is_refused)
{
    peft_safetensors *file;
    peft_mapped_file whole;
    ck_assert_int_eq(peft_file_map(fixture(), &whole, &error), PEFT_OK);
    for (size_t size = 0; size <= whole.bytes + 1; size++) {
        if (size == whole.bytes) continue;
        unsigned char *copy = calloc(size + !size, 1);
        memcpy(copy, whole.data, size < whole.bytes ? size : whole.bytes);
        ck_assert_int_eq(peft_safetensors_open_memory("x", copy, size, &file, &error), PEFT_ERR_FORMAT);
        ck_assert_ptr_null(file);
        free(copy);
    }
    peft_file_unmap(&whole);
}
END_TEST

START_TEST(errors_of_files_name_the_path)
{
    peft_safetensors *file;
    const char *paths[] = {scratch("no.safetensors"), scratch_write("bad.safetensors", "\x02\0\0\0\0\0\0\0[]", 10),
                           scratch_write("empty.safetensors", "", 0)};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ck_assert_int_ne(peft_safetensors_open(paths[i], &file, &error), PEFT_OK);
        ck_assert_ptr_nonnull(strstr(error.message, paths[i]));
        ck_assert_ptr_null(file);
    }
}
END_TEST

/* ---- writing ---- */

static const float floats[6] = {1, 2, 3, 4, 5, 6};
static const int64_t integers[2] = {7, 8};
static const uint8_t bytes[3] = {9, 10, 11};

static const peft_file_tensor small[] = {
    {.name = "z", .dtype = PEFT_U8, .shape = {1, {3}}, .data = bytes, .bytes = sizeof bytes},
    {.name = "b", .dtype = PEFT_F32, .shape = {2, {2, 3}}, .data = floats, .bytes = sizeof floats},
    {.name = "a\"\xc3\xa9", .dtype = PEFT_F32, .shape = {0, {0}}, .data = floats, .bytes = 4},
    {.name = "i", .dtype = PEFT_I64, .shape = {1, {2}}, .data = integers, .bytes = sizeof integers},
    {.name = "empty", .dtype = PEFT_F16, .shape = {2, {0, 4}}, .data = NULL, .bytes = 0},
};
enum { NUM_SMALL = sizeof small / sizeof small[0] };
static const peft_key_value metadata[] = {{"format", "pt"}, {"method", "lora"}};

START_TEST(what_is_written_reads_back)
{
    peft_safetensors *file;
    const char *path = scratch("out.safetensors");
    ck_assert_int_eq(peft_safetensors_write(path, small, NUM_SMALL, metadata, 2, &error), PEFT_OK);
    ck_assert_msg(peft_safetensors_open(path, &file, &error) == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(peft_safetensors_count(file), NUM_SMALL);
    for (size_t i = 0; i < NUM_SMALL; i++) {
        const peft_file_tensor *found = peft_safetensors_find(file, small[i].name);
        ck_assert_ptr_nonnull(found);
        ck_assert_int_eq(found->dtype, small[i].dtype);
        ck_assert(peft_shape_equal(&found->shape, &small[i].shape));
        ck_assert_uint_eq(found->bytes, small[i].bytes);
        if (found->bytes) ck_assert_mem_eq(found->data, small[i].data, found->bytes);
        ck_assert_uint_eq((uintptr_t)found->data % peft_dtype_bytes(found->dtype), 0);
    }
    ck_assert_str_eq(peft_safetensors_metadata(file, "method"), "lora");
    peft_safetensors_close(file);
}
END_TEST

START_TEST(the_layout_is_wide_types_first_then_names)
{
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\",\"method\":\"lora\"},"
                                 "\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},"
                                 "\"a\\\"\xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[16,20]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[20,44]},"
                                 "\"empty\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[44,44]},"
                                 "\"z\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[44,47]}}";
    size_t length = (sizeof header - 1 + 7) / 8 * 8;
    peft_mapped_file file;
    const char *path = scratch("out.safetensors");
    ck_assert_int_eq(peft_safetensors_write(path, small, NUM_SMALL, metadata, 2, &error), PEFT_OK);
    ck_assert_int_eq(peft_file_map(path, &file, &error), PEFT_OK);
    const char *text = file.data;
    ck_assert_uint_eq(file.bytes, 8 + length + 47);
    ck_assert_uint_eq((unsigned char)text[0] + 256U * (unsigned char)text[1], length);
    ck_assert_mem_eq(text + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < length; i++) ck_assert_int_eq(text[8 + i], ' ');
    peft_file_unmap(&file);
}
END_TEST

START_TEST(the_order_of_the_tensors_does_not_matter)
{
    peft_file_tensor turned[NUM_SMALL];
    char first[PEFT_FINGERPRINT_TEXT], second[PEFT_FINGERPRINT_TEXT];
    for (size_t i = 0; i < NUM_SMALL; i++) turned[i] = small[NUM_SMALL - 1 - i];
    ck_assert_int_eq(peft_safetensors_write(scratch("1"), small, NUM_SMALL, metadata, 2, &error), PEFT_OK);
    ck_assert_int_eq(peft_safetensors_write(scratch("2"), turned, NUM_SMALL, metadata, 2, &error), PEFT_OK);
    ck_assert_int_eq(peft_file_fingerprint(scratch("1"), first, &error), PEFT_OK);
    ck_assert_int_eq(peft_file_fingerprint(scratch("2"), second, &error), PEFT_OK);
    ck_assert_str_eq(first, second);
}
END_TEST

START_TEST(a_file_of_the_original_implementation_is_written_again_byte_by_byte)
{
    peft_file_tensor tensors[10];
    peft_mapped_file original;
    peft_safetensors *file = open_fixture();
    for (size_t i = 0; i < 10; i++) tensors[i] = *peft_safetensors_at(file, i);
    const char *path = scratch("again.safetensors");
    ck_assert_int_eq(peft_safetensors_write(path, tensors, 10, metadata, 1, &error), PEFT_OK);
    ck_assert_int_eq(peft_file_map(fixture(), &original, &error), PEFT_OK);
    ck_assert(holds(path, original.data, original.bytes));
    peft_file_unmap(&original);
    peft_safetensors_close(file);
}
END_TEST

START_TEST(a_file_without_tensors_can_be_written)
{
    const char *path = scratch("none.safetensors");
    ck_assert_int_eq(peft_safetensors_write(path, NULL, 0, NULL, 0, &error), PEFT_OK);
    ck_assert(holds(path, "\x08\0\0\0\0\0\0\0{}      ", 16));
}
END_TEST

static const struct {
    peft_file_tensor tensors[2];
    const char *message;
} unwritable[] = {
    {{{.name = "a", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1},
      {.name = "a", .dtype = PEFT_F16, .shape = {1, {1}}, .data = "xx", .bytes = 2}},
     "a: this name comes twice"},
    {{{.name = "b", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1},
      {.name = "a", .dtype = PEFT_F32, .shape = {1, {1}}, .data = "xx", .bytes = 2}},
     "a: 2 bytes are not those of F32 [1]"},
    {{{.name = "b", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1},
      {.name = "a", .dtype = PEFT_U8, .shape = {2, {1LL << 32, 1LL << 32}}, .data = "", .bytes = 0}},
     "a: 0 bytes are not those of U8 [4294967296, 4294967296]"},
    {{{.name = "b", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1},
      {.name = "__metadata__", .dtype = PEFT_U8, .shape = {1, {0}}, .data = "", .bytes = 0}},
     "__metadata__: not a tensor's name"},
    {{{.name = "b", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1},
      {.name = "\xff", .dtype = PEFT_U8, .shape = {1, {1}}, .data = "x", .bytes = 1}},
     "not UTF-8"},
};

START_TEST(wrong_tensors_are_not_written)
{
    const char *path = scratch_write("out.safetensors", "old", 3);
    ck_assert_int_eq(peft_safetensors_write(path, unwritable[_i].tensors, 2, NULL, 0, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, unwritable[_i].message) != NULL, "%s", error.message);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_assert(holds(path, "old", 3));
}
END_TEST

START_TEST(metadata_that_come_twice_are_not_written)
{
    static const peft_key_value twice[] = {{"format", "pt"}, {"format", "np"}};
    ck_assert_int_eq(peft_safetensors_write(scratch("x"), small, 1, twice, 2, &error), PEFT_ERR_ARGUMENT);
    ck_assert_uint_eq(scratch_count(), 0);
}
END_TEST

/* ---- running out of memory ---- */

START_TEST(running_out_of_memory_while_reading_is_reported)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_safetensors *file;
        fail_own_allocation(call);
        peft_status status = peft_safetensors_open(fixture(), &file, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(file == NULL, failed);
        peft_safetensors_close(file);
    }
}
END_TEST

START_TEST(running_out_of_memory_within_jansson_does_no_harm)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_safetensors *file;
        fail_allocation(call);
        peft_status status = peft_safetensors_open(fixture(), &file, &error);
        failed = allocation_failed();
        ck_assert(failed || status == PEFT_OK);
        ck_assert_int_eq(file == NULL, status != PEFT_OK);
        peft_safetensors_close(file);
    }
}
END_TEST

START_TEST(running_out_of_memory_while_writing_leaves_the_old_file)
{
    const char *path = scratch_write("out.safetensors", "old", 3);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        ck_assert(holds(path, "old", 3));
        fail_allocation(call);
        peft_status status = peft_safetensors_write(path, small, NUM_SMALL, metadata, 2, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_uint_eq(scratch_count(), 1);
    }
}
END_TEST

/* One bit of a tensor or of the metadata, wherever it is. */
START_TEST(a_checksum_tells_any_change)
{
    static const float values[] = {1, 2, 3, 4};
    const peft_file_tensor tensors[] = {{"a", PEFT_F32, peft_shape_1(3), values, 3 * sizeof(float), NULL},
                                        {"b", PEFT_F32, peft_shape_1(1), values + 3, sizeof(float), NULL}};
    const peft_key_value summed[] = {{"step", "12"}, {PEFT_CHECKSUM_KEY, NULL}};
    peft_safetensors *opened;
    peft_mapped_file mapped;
    const char *path = scratch("sum.safetensors");
    ck_assert(!peft_safetensors_write(path, tensors, 2, summed, 2, &error));
    ck_assert(!peft_safetensors_open(path, &opened, &error));
    ck_assert_uint_eq(strlen(peft_safetensors_metadata(opened, PEFT_CHECKSUM_KEY)), 16);
    ck_assert(!peft_safetensors_verify(opened, &error));
    peft_safetensors_close(opened);

    ck_assert(!peft_file_map(path, &mapped, &error));
    char *copy = malloc(mapped.bytes);
    memcpy(copy, mapped.data, mapped.bytes);
    const size_t places[] = {(size_t)(strstr(copy + 8, "\"12\"") - copy) + 1, mapped.bytes - 1};
    for (int k = 0; k < 2; k++) {
        copy[places[k]] ^= 1;
        ck_assert(!peft_safetensors_open_memory("changed", copy, mapped.bytes, &opened, &error));
        ck_assert_int_eq(peft_safetensors_verify(opened, &error), PEFT_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(error.message, "changed: damaged: expected the checksum"));
        peft_safetensors_close(opened);
        copy[places[k]] ^= 1;
    }
    free(copy);
    peft_file_unmap(&mapped);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("safetensors");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_test(tests, a_file_of_the_original_implementation_reads_right);
    tcase_add_test(tests, tensors_come_by_name_and_are_found_by_name);
    tcase_add_loop_test(tests, unusual_but_legal_headers_are_read, 0, sizeof legal / sizeof legal[0]);
    tcase_add_loop_test(tests, hostile_headers_are_refused, 0, sizeof hostile / sizeof hostile[0]);
    tcase_add_loop_test(tests, header_lengths_beyond_the_file_are_refused, 0, sizeof lengths / sizeof lengths[0]);
    tcase_add_test(tests, a_header_with_a_zero_byte_is_refused);
    tcase_add_test(tests, a_file_that_is_cut_or_prolonged_is_refused);
    tcase_add_test(tests, errors_of_files_name_the_path);
    tcase_add_test(tests, what_is_written_reads_back);
    tcase_add_test(tests, the_layout_is_wide_types_first_then_names);
    tcase_add_test(tests, the_order_of_the_tensors_does_not_matter);
    tcase_add_test(tests, a_file_of_the_original_implementation_is_written_again_byte_by_byte);
    tcase_add_test(tests, a_file_without_tensors_can_be_written);
    tcase_add_loop_test(tests, wrong_tensors_are_not_written, 0, sizeof unwritable / sizeof unwritable[0]);
    tcase_add_test(tests, metadata_that_come_twice_are_not_written);
    tcase_add_test(tests, a_checksum_tells_any_change);
    tcase_add_test(tests, running_out_of_memory_while_reading_is_reported);
    tcase_add_test(tests, running_out_of_memory_within_jansson_does_no_harm);
    tcase_add_test(tests, running_out_of_memory_while_writing_leaves_the_old_file);
    return run_tests(tests);
}
