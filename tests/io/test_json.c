/* Tests of io/json.c: what is saved reads back, what is malformed is refused where it is, fields are checked. */
#include "io/json.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;

static json_t *parse(const char *text)
{
    json_t *root;
    ck_assert_msg(peft_json_parse(text, strlen(text), "text", &root, &error) == PEFT_OK, "%s", error.message);
    return root;
}

static const struct {
    const char *text, *message;
} malformed[] = {
    {"", "x.json:1:0: "},
    {"{\"a\": 1,\n \"b\": }", "x.json:2:7: "},
    {"{\"a\": 1, \"a\": 2}", "duplicate object key"},
    {"{\"a\": {\"b\": 1, \"b\": 1}}", "duplicate object key"},
    {"{} {}", "end of file expected"},
    {"3", "'[' or '{' expected"},
    {"[1", "x.json:1:2: "},
    {"{\"a\": -NaN}", "x.json:1:7: "},
    {"{\"a\": nan}", "x.json:1:9: "},
    {"{\"a\": 09223372036854775808}", "x.json:1:7: "},
    {"{\"a\": 9223372036854775808.}", "x.json:1:26: "},
    {"{NaN: 1}", "string or '}' expected"},
    {"{\"a\": \"\xff\"}", "unable to decode byte 0xff"},
    {"{\"\\u0000\": 1}", "NUL byte in object key"},
    {"{\"a\": \"\\ud800\"}", "invalid Unicode"},
};

START_TEST(malformed_text_is_refused_with_its_place)
{
    json_t *root;
    const char *text = malformed[_i].text;
    ck_assert_int_eq(peft_json_parse(text, strlen(text), "x.json", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_null(root);
    ck_assert_msg(strstr(error.message, malformed[_i].message) != NULL, "%s", error.message);
}
END_TEST

/* What Python's json reads: too large integers as reals, the rest as what no reader of a number or a text takes. */
static const struct {
    const char *text, *written;
    double real; /* NAN: none holds it */
} extended[] = {
    {"9223372036854775807", "9223372036854775807", 9223372036854775807.0},
    {"-9223372036854775808", "-9223372036854775808", -9223372036854775808.0},
    {"9223372036854775808", "9.22337203685477581e18", 9223372036854775808.0},
    {"-9223372036854775809", "-9.22337203685477581e18", -9223372036854775808.0},
    {"1000000000000000019884624838656", "1e30", 1e30},
    {"-100000000000000000000", "-1e20", -1e20},
    {"NaN", "NaN", (double)NAN},
    {"Infinity", "Infinity", (double)NAN},
    {"-Infinity", "-Infinity", (double)NAN},
    {"1e999", "1e999", (double)NAN},
    {"-1.5E+400", "-1.5E+400", (double)NAN},
};

START_TEST(numbers_are_read_as_python_reads_them)
{
    char text[200], message[200];
    snprintf(text, sizeof text, "{\"\\\"NaN\": [\"NaN\", \"\\\\\", %s], \"n\":%s}", extended[_i].text,
             extended[_i].text);
    json_t *object = parse(text);
    double value = 7;
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(object, "\"NaN"), 0)), "NaN");
    if (isnan(extended[_i].real)) {
        ck_assert_int_eq(peft_json_double(object, "n", -DBL_MAX, DBL_MAX, &value, "c", &error), PEFT_ERR_FORMAT);
        snprintf(message, sizeof message, ", found %s", extended[_i].text);
        ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
        const char *string = NULL;
        ck_assert_int_eq(peft_json_string(object, "n", &string, "c", &error), PEFT_ERR_FORMAT);
        ck_assert_ptr_null(string);
    } else {
        ck_assert_int_eq(peft_json_double(object, "n", -DBL_MAX, DBL_MAX, &value, "c", &error), PEFT_OK);
        ck_assert(value == extended[_i].real); /* the nearest, to the bit */
    }
    json_object_del(object, "\"NaN");
    snprintf(text, sizeof text, "{\n  \"n\": %s\n}\n", extended[_i].written);
    ck_assert_int_eq(peft_json_save(scratch("n.json"), object, PEFT_JSON_AS_IS, &error), PEFT_OK);
    json_t *again;
    ck_assert_int_eq(peft_json_load(scratch("n.json"), &again, &error), PEFT_OK);
    ck_assert(json_equal(object, again));
    if (!strchr(extended[_i].written, '.') || isnan(extended[_i].real))
        ck_assert_msg(holds(scratch("n.json"), text, strlen(text)), "%s", extended[_i].text);
    json_decref(again);
    json_decref(object);
}
END_TEST

/* The place of a fault is that of the file, whatever stands before it. */
static const struct {
    const char *text, *message;
} behind[] = {
    {"{\"a\": NaN, \"b\": }", "x.json:1:17: "},
    {"{\"a\": -Infinity, \"b\": 18446744073709551616,\n \"c\": }", "x.json:2:7: "},
    {"[NaN,\n\n 18446744073709551616, 1e999 2]", "x.json:3:30: "},
    {"[NaN, \"\xc3\xa9\", 1e999 2]", "x.json:1:18: "},
};

START_TEST(places_are_those_of_the_text_as_it_is)
{
    json_t *root;
    const char *text = behind[_i].text;
    ck_assert_int_eq(peft_json_parse(text, strlen(text), "x.json", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strncmp(error.message, behind[_i].message, strlen(behind[_i].message)) == 0, "%s", error.message);
}
END_TEST

/* jansson itself takes the first, and gives places that lie behind the last. */
START_TEST(a_nul_byte_is_refused_with_its_place)
{
    static const struct {
        const char *text, *message;
        size_t bytes;
    } nul[] = {
        {"[5911\0]", "x.json:1:6: NUL byte", 7},
        {"{\n\n \"a\0\": 1}", "x.json:3:4: NUL byte", 11},
        {"[1]\0", "x.json:1:4: NUL byte", 4},
        {"[5911\0]42949672962e911\0\b1E", "x.json:1:6: NUL byte", 26},
    };
    for (size_t k = 0; k < sizeof nul / sizeof nul[0]; k++) {
        json_t *root;
        ck_assert_int_eq(peft_json_parse(nul[k].text, nul[k].bytes, "x.json", &root, &error), PEFT_ERR_FORMAT);
        ck_assert_str_eq(error.message, nul[k].message);
    }
}
END_TEST

START_TEST(strings_with_a_nul_do_no_harm_where_nobody_reads_them)
{
    json_t *object = parse("{\"a\": \"x\\u0000y\", \"b\": \"\\u0000NaN, too\"}");
    const char *text = NULL;
    ck_assert_int_eq(peft_json_string(object, "a", &text, "c", &error), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "c: a: expected a string without \\u0000, found \"x\\u0000y\"");
    ck_assert_int_eq(peft_json_save(scratch("n.json"), object, PEFT_JSON_AS_IS, &error), PEFT_OK);
    json_t *again;
    ck_assert_int_eq(peft_json_load(scratch("n.json"), &again, &error), PEFT_OK);
    ck_assert(json_equal(object, again));
    json_decref(again);
    json_decref(object);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    json_t *root;
    static char text[100000];
    memset(text, '[', sizeof text);
    ck_assert_int_eq(peft_json_parse(text, sizeof text, "text", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "maximum parsing depth"));
}
END_TEST

START_TEST(documents_over_the_bound_are_refused_unread)
{
    json_t *root;
    ck_assert_int_eq(peft_json_parse(NULL, PEFT_JSON_MAX_BYTES + (size_t)1, "big", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "big: expected a JSON document of at most 134217728 bytes, found 134217729");
}
END_TEST

START_TEST(loading_a_missing_file_names_it)
{
    json_t *root;
    ck_assert_int_eq(peft_json_load(scratch("no.json"), &root, &error), PEFT_ERR_FILE);
    ck_assert_ptr_nonnull(strstr(error.message, "no.json"));
    ck_assert_ptr_null(root);
}
END_TEST

START_TEST(keys_keep_the_order_of_the_file)
{
    static const char *const keys[] = {"z", "a", "m", "b"};
    json_t *root = parse("{\"z\": 1, \"a\": 2, \"m\": 3, \"b\": 4}");
    size_t i = 0;
    for (void *at = json_object_iter(root); at; at = json_object_iter_next(root, at))
        ck_assert_str_eq(json_object_iter_key(at), keys[i++]);
    ck_assert_uint_eq(i, 4);
    json_decref(root);
}
END_TEST

static const char as_is[] =
    "{\n  \"b\": [\n    1,\n    0.1,\n    \"\\\"\\n\xc3\xa9\"\n  ],\n  \"a\": {\n    \"d\": {},\n"
    "    \"c\": []\n  },\n  \"\\\\\": null\n}\n";
static const char sorted[] =
    "{\n  \"\\\\\": null,\n  \"a\": {\n    \"c\": [],\n    \"d\": {}\n  },\n  \"b\": [\n    1,\n"
    "    0.1,\n    \"\\\"\\n\xc3\xa9\"\n  ]\n}\n";

START_TEST(a_document_is_saved_indented_in_either_order)
{
    json_t *root = parse("{\"b\":[1,0.1,\"\\\"\\n\xc3\xa9\"],\"a\":{\"d\":{},\"c\":[]},\"\\\\\":null}");
    const char *path = scratch("a.json");
    ck_assert_int_eq(peft_json_save(path, root, PEFT_JSON_AS_IS, &error), PEFT_OK);
    ck_assert(holds(path, as_is, sizeof as_is - 1));
    ck_assert_int_eq(peft_json_save(path, root, PEFT_JSON_SORTED, &error), PEFT_OK);
    ck_assert(holds(path, sorted, sizeof sorted - 1));
    json_decref(root);
}
END_TEST

/* Bit patterns from a linear congruential generator: numbers of every size. */
START_TEST(real_numbers_read_back_as_they_were)
{
    json_t *list = json_array(), *again;
    uint64_t bits = 1;
    for (int i = 0; i < 5000; i++) {
        double value;
        bits = bits * 6364136223846793005U + 1442695040888963407U;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) json_array_append_new(list, json_real(value));
    }
    json_array_append_new(list, json_real(5e-324));
    json_array_append_new(list, json_real(-0.0));
    json_array_append_new(list, json_real(3.0));
    ck_assert_int_eq(peft_json_save(scratch("r.json"), list, PEFT_JSON_AS_IS, &error), PEFT_OK);
    ck_assert_int_eq(peft_json_load(scratch("r.json"), &again, &error), PEFT_OK);
    ck_assert(json_equal(list, again));
    json_decref(list);
    json_decref(again);
}
END_TEST

START_TEST(a_failed_save_leaves_the_old_file)
{
    json_t *root = parse("{\"b\": [1, 0.1, \"x\", {\"c\": {}}], \"a\": 2}");
    const char *path = scratch_write("a.json", "old", 3);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        ck_assert(holds(path, "old", 3));
        fail_allocation(call);
        peft_status status = peft_json_save(path, root, PEFT_JSON_SORTED, &error);
        failed = allocation_failed();
        if (status) ck_assert_int_eq(status, PEFT_ERR_MEMORY);
        if (failed && status == PEFT_OK)
            scratch_write("a.json", "old", 3); /* a shorter form of a number was not tried */
        ck_assert_uint_eq(scratch_count(), 1);
    }
    json_decref(root);
}
END_TEST

START_TEST(running_out_of_memory_while_loading_is_reported)
{
    const char *path = scratch_write("a.json", as_is, sizeof as_is - 1);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        json_t *root;
        fail_allocation(call);
        peft_status status = peft_json_load(path, &root, &error);
        failed = allocation_failed();
        /* "malformed": jansson does not tell that a string found no memory */
        ck_assert(failed ? status == PEFT_ERR_MEMORY || status == PEFT_ERR_FORMAT : status == PEFT_OK);
        ck_assert_int_eq(root == NULL, failed);
        json_decref(root);
    }
}
END_TEST

static const char fields[] =
    "{\"int\": 8, \"minus\": -3, \"real\": 0.5, \"yes\": true, \"no\": false, \"text\": \"abc\","
    " \"null\": null, \"list\": [1, 2], \"object\": {\"k\": 1}, \"whole\": 2.0}";

START_TEST(fields_are_read_with_their_types)
{
    json_t *object = parse(fields), *list, *inner;
    int64_t i = 0;
    double d = 0;
    bool b = false;
    const char *text = NULL;
    ck_assert_int_eq(peft_json_int(object, "int", 8, 8, &i, "c", &error), PEFT_OK);
    ck_assert_int_eq(i, 8);
    ck_assert_int_eq(peft_json_int(object, "minus", INT64_MIN, INT64_MAX, &i, "c", &error), PEFT_OK);
    ck_assert_int_eq(i, -3);
    ck_assert_int_eq(peft_json_double(object, "real", 0, 0.5, &d, "c", &error), PEFT_OK);
    ck_assert_double_eq(d, 0.5);
    ck_assert_int_eq(peft_json_double(object, "int", -(double)INFINITY, (double)INFINITY, &d, "c", &error), PEFT_OK);
    ck_assert_double_eq(d, 8);
    ck_assert_int_eq(peft_json_bool(object, "yes", &b, "c", &error), PEFT_OK);
    ck_assert(b);
    ck_assert_int_eq(peft_json_bool(object, "no", &b, "c", &error), PEFT_OK);
    ck_assert(!b);
    ck_assert_int_eq(peft_json_string(object, "text", &text, "c", &error), PEFT_OK);
    ck_assert_str_eq(text, "abc");
    ck_assert_int_eq(peft_json_array(object, "list", &list, "c", &error), PEFT_OK);
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_int_eq(peft_json_object(object, "object", &inner, "c", &error), PEFT_OK);
    ck_assert_uint_eq(json_object_size(inner), 1);
    json_decref(object);
}
END_TEST

START_TEST(absent_and_null_fields_keep_the_default)
{
    static const char *const keys[] = {"absent", "null"};
    const char *key = keys[_i], *text = "default";
    json_t *object = parse(fields), *list = object, *inner = object;
    int64_t i = 7;
    double d = 7;
    bool b = true;
    ck_assert_int_eq(peft_json_int(object, key, 0, 1, &i, "c", &error), PEFT_OK);
    ck_assert_int_eq(peft_json_double(object, key, 0, 1, &d, "c", &error), PEFT_OK);
    ck_assert_int_eq(peft_json_bool(object, key, &b, "c", &error), PEFT_OK);
    ck_assert_int_eq(peft_json_string(object, key, &text, "c", &error), PEFT_OK);
    ck_assert_int_eq(peft_json_array(object, key, &list, "c", &error), PEFT_OK);
    ck_assert_int_eq(peft_json_object(object, key, &inner, "c", &error), PEFT_OK);
    ck_assert(i == 7 && d == 7 && b && list == object && inner == object);
    ck_assert_str_eq(text, "default");
    json_decref(object);
}
END_TEST

/* Reads a field into a value that must stay as it is. */
static peft_status read_int(const json_t *object, const char *key)
{
    int64_t value = 7;
    peft_status status = peft_json_int(object, key, 1, 4, &value, "c.json", &error);
    ck_assert_int_eq(value, 7);
    return status;
}

static peft_status read_double(const json_t *object, const char *key)
{
    double value = 7;
    peft_status status = peft_json_double(object, key, 1, 2.5, &value, "c.json", &error);
    ck_assert_double_eq(value, 7);
    return status;
}

static peft_status read_bool(const json_t *object, const char *key)
{
    bool value = true;
    peft_status status = peft_json_bool(object, key, &value, "c.json", &error);
    ck_assert(value);
    return status;
}

static peft_status read_string(const json_t *object, const char *key)
{
    const char *value = "default";
    peft_status status = peft_json_string(object, key, &value, "c.json", &error);
    ck_assert_str_eq(value, "default");
    return status;
}

static peft_status read_array(const json_t *object, const char *key)
{
    json_t *value = NULL;
    peft_status status = peft_json_array(object, key, &value, "c.json", &error);
    ck_assert_ptr_null(value);
    return status;
}

static peft_status read_object(const json_t *object, const char *key)
{
    json_t *value = NULL;
    peft_status status = peft_json_object(object, key, &value, "c.json", &error);
    ck_assert_ptr_null(value);
    return status;
}

static const struct {
    peft_status (*read)(const json_t *object, const char *key);
    const char *key, *message;
} wrong_fields[] = {
    {read_int, "int", "c.json: int: expected an integer from 1 to 4, found 8"},
    {read_int, "minus", "c.json: minus: expected an integer from 1 to 4, found -3"},
    {read_int, "whole", "c.json: whole: expected an integer from 1 to 4, found 2.0"},
    {read_int, "text", "c.json: text: expected an integer from 1 to 4, found \"abc\""},
    {read_double, "real", "c.json: real: expected a number from 1 to 2.5, found 0.5"},
    {read_double, "int", "c.json: int: expected a number from 1 to 2.5, found 8"},
    {read_double, "list", "c.json: list: expected a number from 1 to 2.5, found a list of 2"},
    {read_bool, "int", "c.json: int: expected true or false, found 8"},
    {read_string, "object", "c.json: object: expected a string, found an object of 1"},
    {read_array, "text", "c.json: text: expected a list, found \"abc\""},
    {read_object, "yes", "c.json: yes: expected an object, found true"},
};

START_TEST(wrong_fields_are_named_with_expectation_and_finding)
{
    json_t *object = parse(fields);
    ck_assert_int_eq(wrong_fields[_i].read(object, wrong_fields[_i].key), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, wrong_fields[_i].message);
    json_decref(object);
}
END_TEST

START_TEST(only_objects_have_fields)
{
    json_t *list = parse("[1]");
    ck_assert_int_eq(read_int(list, "r"), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "c.json: expected an object with \"r\", found a list of 1");
    ck_assert_int_eq(read_int(NULL, "r"), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "c.json: expected an object with \"r\", found nothing");
    json_decref(list);
}
END_TEST

START_TEST(long_values_are_quoted_in_part)
{
    char text[PEFT_JSON_TEXT], long_text[200];
    memset(long_text, 'a', sizeof long_text);
    json_t *value = json_stringn(long_text, sizeof long_text);
    ck_assert_uint_lt(strlen(peft_json_text(value, text)), PEFT_JSON_TEXT);
    ck_assert_ptr_nonnull(strstr(text, "\"aaa"));
    ck_assert_str_eq(text + strlen(text) - 4, "a...");
    json_decref(value);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tests, malformed_text_is_refused_with_its_place, 0, sizeof malformed / sizeof malformed[0]);
    tcase_add_loop_test(tests, numbers_are_read_as_python_reads_them, 0, sizeof extended / sizeof extended[0]);
    tcase_add_test(tests, a_nul_byte_is_refused_with_its_place);
    tcase_add_loop_test(tests, places_are_those_of_the_text_as_it_is, 0, sizeof behind / sizeof behind[0]);
    tcase_add_test(tests, strings_with_a_nul_do_no_harm_where_nobody_reads_them);
    tcase_add_test(tests, deep_nesting_is_refused);
    tcase_add_test(tests, documents_over_the_bound_are_refused_unread);
    tcase_add_test(tests, loading_a_missing_file_names_it);
    tcase_add_test(tests, keys_keep_the_order_of_the_file);
    tcase_add_test(tests, a_document_is_saved_indented_in_either_order);
    tcase_add_test(tests, real_numbers_read_back_as_they_were);
    tcase_add_test(tests, a_failed_save_leaves_the_old_file);
    tcase_add_test(tests, running_out_of_memory_while_loading_is_reported);
    tcase_add_test(tests, fields_are_read_with_their_types);
    tcase_add_loop_test(tests, absent_and_null_fields_keep_the_default, 0, 2);
    tcase_add_loop_test(tests, wrong_fields_are_named_with_expectation_and_finding, 0,
                        sizeof wrong_fields / sizeof wrong_fields[0]);
    tcase_add_test(tests, only_objects_have_fields);
    tcase_add_test(tests, long_values_are_quoted_in_part);
    return run_tests(tests);
}
