/* variants/mola.c - MoLoRA with another number of experts in each layer, of which the two most probable count.
 *
 *     y = W x + b + s sum_e gate_e B_e A_e x,   s = alpha / r          (Gao et al. 2024, arXiv 2402.08562)
 *
 * All but the number of experts and the start values is MoLoRA (molora.c). `allocation` lists the numbers from the
 * first layers of the model to the last: as many as there are layers, or fewer, each for a part of them. A text as
 * "2-4-6-8" is a shape that stretches over any number of layers; a list with more numbers than layers is refused.
 * Where a layer has no more experts than top_k, all count. As in the authors' program A and the router are drawn as
 * torch.nn.Linear does, U(-1/sqrt(in), 1/sqrt(in)). */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "variants/module_name.h"
#include "variants/molora.h"

typedef struct mola_options {
    peft_router_options router;
    json_t *allocation;
} mola_options;

static const peft_option option_table[] = {
    PEFT_COMMON_OPTION_ROWS("8", "16"),
    {.name = "allocation",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(mola_options, allocation),
     .initial = "2-4-6-8",
     .placeholder = "LIST",
     .help = "experts from the first layers to the last, as 2-4-6-8, 8-6-4-2, 8-2-2-8, 5-5-5-5 or a list",
     .group = "Adapter"},
    PEFT_ROUTER_OPTION_ROWS("2"),
    {0}};

/* ---- the list ---- */

enum { MAX_NUMBERS = 1000 };

typedef struct allocation {
    int64_t count, experts[MAX_NUMBERS];
} allocation;

static bool append(allocation *a, int64_t experts)
{
    if (experts < 1 || experts > PEFT_MAX_EXPERTS || a->count == MAX_NUMBERS) return false;
    a->experts[a->count++] = experts;
    return true;
}

static bool read_array(allocation *a, const json_t *array)
{
    size_t i;
    const json_t *number;
    json_array_foreach(array, i, number) if (!append(a, json_integer_value(number))) return false;
    return a->count > 0;
}

/* "2-4-6-8" */
static bool read_text(allocation *a, const char *text)
{
    for (;;) {
        char *end;
        if (!isdigit((unsigned char)*text)) return false;
        errno = 0;
        long long experts = strtoll(text, &end, 10);
        if (errno || !append(a, experts)) return false;
        if (*end == '\0') return true;
        if (*end != '-') return false;
        text = end + 1;
    }
}

static bool read_allocation(allocation *a, const json_t *value)
{
    a->count = 0;
    return json_is_string(value) ? read_text(a, json_string_value(value)) : read_array(a, value);
}

static peft_status check(const void *options, peft_error *error)
{
    const mola_options *o = options;
    allocation a;
    if (!read_allocation(&a, o->allocation))
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "allocation: expected numbers of experts from 1 to %d, as \"2-4-6-8\" or [2, 4, 6, 8]",
                         PEFT_MAX_EXPERTS);
    return peft_router_check(options, error);
}

/* ---- where a module stands ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of the hidden layers that are adapted, sorted, each once; returns their number. */
static int64_t list_depths(const peft_adapters *all, int64_t *depths)
{
    int64_t num_modules = 0, count = 0;
    for (int64_t i = 0; i < all->num_layers; i++) {
        int64_t depth = peft_module_layer(all->layers[i].module);
        if (depth >= 0) depths[num_modules++] = depth;
    }
    qsort(depths, (size_t)num_modules, sizeof *depths, compare);
    for (int64_t i = 0; i < num_modules; i++)
        if (i == 0 || depths[i] != depths[i - 1]) depths[count++] = depths[i];
    return count;
}

/* A module outside of the hidden layers, as a pooler, stands beside the last of them. */
static int64_t place_of(const char *module, const int64_t *depths, int64_t num_depths)
{
    int64_t place = 0, depth = peft_module_layer(module);
    if (depth < 0) return num_depths > 0 ? num_depths - 1 : 0;
    while (depths[place] < depth) place++;
    return place;
}

static peft_status arrange(peft_adapters *all, peft_error *error)
{
    const json_t *numbers = ((const mola_options *)all->options)->allocation;
    allocation a = {0}; /* checked already */
    read_allocation(&a, numbers);
    int64_t *depths = calloc((size_t)all->num_layers, sizeof *depths);
    if (!depths) return peft_fail(error, PEFT_ERR_MEMORY, "allocation: out of memory");
    int64_t num_depths = list_depths(all, depths), num_places = num_depths > 0 ? num_depths : 1;
    peft_status status = PEFT_OK;
    if (json_is_array(numbers) && a.count > num_places)
        status =
            peft_fail(error, PEFT_ERR_ARGUMENT,
                      "allocation: %" PRId64 " numbers for %" PRId64 " layers of the model; list at most one for each",
                      a.count, num_places);
    for (int64_t i = 0; i < all->num_layers; i++)
        all->layers[i].num_experts =
            a.experts[place_of(all->layers[i].module, depths, num_depths) * a.count / num_places];
    free(depths);
    return status;
}

/* ---- the method ---- */

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    return peft_molora_layer_values_from(a, (peft_molora_start){PEFT_START_UNIFORM, 1 / sqrt((double)a->in_features)},
                                         specs);
}

const peft_variant peft_variant_mola = {
    .name = "mola",
    .equation = "y = W x + b + (alpha / r) sum_e gate(R x)_e B_e A_e x",
    .source = "Gao et al. 2024, arXiv 2402.08562",
    .summary = "MoLoRA with another number of experts in each layer, of which the most probable count",
    .peft_type = "MOLA",
    .own_format = "1",
    .options_bytes = sizeof(mola_options),
    .options = option_table,
    .check = check,
    .arrange = arrange,
    .scaling = peft_molora_scaling,
    .layer_values = layer_values,
    .forward = peft_molora_forward,
    .grouped = true,
    .expert_to_lora = peft_molora_expert_to_lora,
};
