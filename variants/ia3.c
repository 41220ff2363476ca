/* variants/ia3.c - (IA)^3: infused adapter by inhibiting and amplifying inner activations.
 *
 *     y = l * (W x + b)        l [out]
 *     y = W (l * x) + b        l [in], in feed-forward modules
 *                                                       (Liu et al. 2022, arXiv 2205.05638, section 3.3)
 *
 * l starts at one, so the adapted layer starts as the base layer. The paper puts l on keys, on values, and between the
 * two layers of a feed-forward block. As in Hugging Face PEFT, feedforward_modules are those whose input is scaled: a
 * regular expression for a module's whole name, or a list of what names end with. Merging is exact, and scales the bias
 * too where the output is scaled. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "variants/adapter.h"
#include "variants/module_name.h"
#include "variants/pattern.h"

typedef struct ia3_options {
    peft_common_options common;
    json_t *feedforward_modules;
} ia3_options;

enum { L, VALUES };

/* The second layers of the feed-forward blocks of the usual models, as PEFT has them, and DistilBERT's and
 * ModernBERT's, which it lacks. An expression, because PEFT wants a list to be part of the list of targets. */
#define USUAL_MODULES ".*(output\\\\.dense|mlp\\\\.c_proj|down_proj|fc2|ffn\\\\.lin2|mlp\\\\.Wo)"

static const peft_option option_table[] = {
    {.name = "feedforward_modules",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(ia3_options, feedforward_modules),
     .initial = "\"" USUAL_MODULES "\"",
     .placeholder = "NAMES",
     .help = "modules whose input is scaled instead of their output: what names end with, or an expression",
     .group = "Adapter"},
    {0}};

static const peft_json_name json_names[] = {
    {.option = "feedforward_modules", .json = "feedforward_modules", .initial = "\"" USUAL_MODULES "\""}, {0}};

static const peft_json_field json_fields[] = {
    {"fan_in_fan_out", "false", PEFT_FIELD_NOTE}, {"init_ia3_weights", "true", PEFT_FIELD_IGNORE}, {0}};

static const char *const absent_fields[] = {"bias", "layers_pattern", "layers_to_transform", NULL};

/* ---- which layers scale their input ---- */

static peft_status check(const void *options, peft_error *error)
{
    const json_t *modules = ((const ia3_options *)options)->feedforward_modules, *name;
    size_t i;
    bool valid = json_is_string(modules) || json_is_array(modules);
    json_array_foreach(modules, i, name) valid = valid && json_is_string(name);
    return valid ? PEFT_OK
                 : peft_fail(error, PEFT_ERR_ARGUMENT, "feedforward_modules: expected a name or a list of names");
}

/* Unlike the ends of target_modules, these may begin within a part of the name: that is PEFT's rule. */
static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static peft_status arrange_by_end(peft_adapters *all, const char *end, peft_error *error)
{
    bool found = false;
    for (int64_t i = 0; i < all->num_layers; i++)
        if (ends_with(all->layers[i].module, end)) {
            all->layers[i].scales_input = true;
            found = true;
        }
    const peft_names modules = {&all->layers->module, (size_t)all->num_layers, sizeof *all->layers};
    return found || all->from_file ? PEFT_OK : peft_fail_unmatched(error, "feedforward_modules", end, &modules);
}

static peft_status arrange_by_expression(peft_adapters *all, const char *expression, peft_error *error)
{
    peft_pattern *pattern;
    peft_status status = peft_pattern_compile(&pattern, PEFT_PATTERN_FULL, expression, error);
    for (int64_t i = 0; i < all->num_layers && status == PEFT_OK; i++) {
        bool matches = false;
        status = peft_pattern_match(pattern, all->layers[i].module, &matches, error);
        all->layers[i].scales_input = matches;
    }
    peft_pattern_free(pattern);
    return status == PEFT_OK ? PEFT_OK : peft_fail_in(error, status, "feedforward_modules");
}

/* The same rule as an expression, in memory of the caller's; NULL: out of memory. */
static char *expression_of(const json_t *ends)
{
    size_t bytes = sizeof ".*()", at = 0, i;
    const json_t *end;
    json_array_foreach(ends, i, end) bytes += 2 * json_string_length(end) + 1;
    char *text = malloc(bytes);
    if (!text) return NULL;
    at += (size_t)sprintf(text, ".*(");
    json_array_foreach(ends, i, end)
    {
        if (i > 0) text[at++] = '|';
        for (const char *c = json_string_value(end); *c; c++) {
            if (ispunct((unsigned char)*c) && *c != '_') text[at++] = '\\';
            text[at++] = *c;
        }
    }
    text[at++] = ')';
    text[at] = '\0';
    return text;
}

/* The list becomes an expression, because files then say the same whatever their list of targets is: PEFT wants every
 * item of the one to be an item of the other. */
static peft_status arrange_by_ends(peft_adapters *all, json_t **ends, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(*ends) && status == PEFT_OK; i++)
        status = arrange_by_end(all, json_string_value(json_array_get(*ends, i)), error);
    if (status != PEFT_OK || json_array_size(*ends) == 0) return status;
    char *text = expression_of(*ends);
    json_t *expression = text ? json_string(text) : NULL;
    free(text);
    if (!expression) return peft_fail(error, PEFT_ERR_MEMORY, "feedforward_modules: out of memory");
    json_decref(*ends);
    *ends = expression;
    return PEFT_OK;
}

static peft_status arrange(peft_adapters *all, peft_error *error)
{
    json_t **modules = &((ia3_options *)all->options)->feedforward_modules;
    if (json_is_array(*modules)) return arrange_by_ends(all, modules, error);
    return arrange_by_expression(all, json_string_value(*modules), error);
}

/* ---- the method ---- */

static double scaling(const peft_adapter *a)
{
    (void)a;
    return 1;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    specs[L] = (peft_value_spec){
        .name = "ia3_l",
        .shape = a->scales_input ? peft_shape_2(1, a->in_features) : peft_shape_2(a->out_features, 1),
        .start = PEFT_START_ONE,
        .role = PEFT_ROLE_GATE,
    };
    return VALUES;
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *l = peft_value_leaf(g, &a->values[L], batch);
    if (a->scales_input)
        return peft_base_forward(g, base, peft_mul(g, x, peft_reshape(g, l, peft_shape_1(a->in_features))));
    return peft_mul(g, peft_base_forward(g, base, x), peft_reshape(g, l, peft_shape_1(a->out_features)));
}

static peft_status merge(const peft_adapter *a, float *weight, float *bias, peft_error *error)
{
    (void)error;
    bool input = a->scales_input;
    const float *l = a->values[L].data;
    for (int64_t o = 0; o < a->out_features; o++)
        for (int64_t i = 0; i < a->in_features; i++) weight[o * a->in_features + i] *= l[input ? i : o];
    for (int64_t o = 0; bias && !input && o < a->out_features; o++) bias[o] *= l[o];
    return PEFT_OK;
}

const peft_variant peft_variant_ia3 = {
    .name = "ia3",
    .equation = "y = l (W x + b), in feed-forward modules W (l x) + b",
    .source = "Liu et al. 2022, arXiv 2205.05638, section 3.3",
    .summary = "a factor for each output, or for each input of a feed-forward module",
    .peft_type = "IA3",
    .options_bytes = sizeof(ia3_options),
    .options = option_table,
    .json_names = json_names,
    .json_fields = json_fields,
    .absent_fields = absent_fields,
    .check = check,
    .arrange = arrange,
    .scaling = scaling,
    .layer_values = layer_values,
    .forward = forward,
    .by_token = true,
    .merge = merge,
};
