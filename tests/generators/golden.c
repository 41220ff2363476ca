#include "tests/generators/golden.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1024 };

peft_safetensors *golden_open(const char *path)
{
    char text[TEXT_BYTES];
    peft_safetensors *file;
    peft_error error = {0};
    snprintf(text, sizeof text, "%s/goldens/%s", getenv("PEFT_FIXTURES"), path);
    ck_assert_msg(!peft_safetensors_open(text, &file, &error), "%s", error.message);
    return file;
}

const peft_file_tensor *golden_find(const peft_safetensors *file, const char *format, ...)
{
    char name[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const peft_file_tensor *tensor = peft_safetensors_find(file, name);
    ck_assert_msg(tensor != NULL, "%s: not in the golden file", name);
    return tensor;
}

const float *golden_values(const peft_safetensors *file, const char *name)
{
    return golden_find(file, "%s", name)->data;
}

peft_tensor *golden_leaf(peft_graph *g, const peft_safetensors *file, const char *name, bool variable)
{
    const peft_file_tensor *tensor = golden_find(file, "%s", name);
    const int64_t columns = tensor->shape.size[tensor->shape.ndim - 1];
    const peft_shape shape =
        tensor->shape.ndim < 2 ? tensor->shape : peft_shape_2(peft_shape_count(&tensor->shape) / columns, columns);
    return (variable ? peft_variable : peft_constant)(g, PEFT_F32, shape, tensor->data, tensor->name);
}

static double largest_of(const peft_file_tensor *tensor)
{
    const float *values = tensor->data;
    double largest = 0;
    for (int64_t k = 0; k < peft_shape_count(&tensor->shape); k++) largest = fmax(largest, fabs((double)values[k]));
    return largest;
}

static void check_tensor(const peft_file_tensor *expected, const float *found, double tolerance, double largest)
{
    const float *values = expected->data;
    const int64_t count = peft_shape_count(&expected->shape);
    for (int64_t k = 0; k < count; k++)
        ck_assert_msg(fabs((double)found[k] - (double)values[k]) <= tolerance * largest,
                      "%s[%lld]: expected %.9g, found %.9g of at most %g", expected->name, (long long)k,
                      (double)values[k], (double)found[k], largest);
}

void golden_check(const peft_safetensors *file, const char *name, const float *found, double tolerance)
{
    const peft_file_tensor *expected = golden_find(file, "%s", name);
    check_tensor(expected, found, tolerance, largest_of(expected));
}

static const peft_value *value_of(const peft_value_set *set, const char *prefix, const char *name)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    return peft_value_set_find(set, text);
}

static bool is_unused(const char *name, const char *const *unused)
{
    for (; *unused; unused++) {
        const size_t length = strlen(name), tail = strlen(*unused);
        if (length >= tail && strcmp(name + length - tail, *unused) == 0) return true;
    }
    return false;
}

void golden_load(const peft_safetensors *file, const peft_value_set *set, const char *prefix, const char *const *unused)
{
    int64_t loaded = 0;
    for (size_t k = 0; k < peft_safetensors_count(file); k++) {
        const peft_file_tensor *tensor = peft_safetensors_at(file, k);
        if (strncmp(tensor->name, "w.", 2) != 0) continue;
        const peft_value *value = value_of(set, prefix, tensor->name + 2);
        ck_assert_msg(value || is_unused(tensor->name, unused), "%s: the network has no such tensor", tensor->name);
        if (!value) continue;
        ck_assert_msg(peft_shape_equal(&value->spec.shape, &tensor->shape), "%s: other shape", tensor->name);
        ck_assert(!peft_file_tensor_read_f32(tensor, value->data, NULL));
        loaded++;
    }
    ck_assert_int_eq(loaded, set->count);
}

/* The gradient of a bias in front of a norm is zero, and what is found of it is rounding: beside that of its weight. */
static double size_of_gradient(const peft_safetensors *file, const peft_file_tensor *gradient)
{
    char weight[TEXT_BYTES];
    snprintf(weight, sizeof weight, "%s", gradient->name);
    char *tail = strstr(weight, ".bias");
    if (tail) memcpy(tail, ".weight", sizeof ".weight");
    const peft_file_tensor *beside = tail ? peft_safetensors_find(file, weight) : NULL;
    return fmax(largest_of(gradient), beside ? largest_of(beside) : 0);
}

void golden_check_gradients(const peft_safetensors *file, const peft_value_set *set, const char *prefix,
                            double tolerance)
{
    int64_t checked = 0;
    for (size_t k = 0; k < peft_safetensors_count(file); k++) {
        const peft_file_tensor *tensor = peft_safetensors_at(file, k);
        if (strncmp(tensor->name, "grad.", 5) != 0) continue;
        const peft_value *value = value_of(set, prefix, tensor->name + 5);
        if (!value) continue; /* of an input */
        ck_assert_ptr_nonnull(value->gradient);
        check_tensor(tensor, value->gradient, tolerance, size_of_gradient(file, tensor));
        checked++;
    }
    ck_assert_int_gt(checked, 0);
}
