/* variants/plain_lora.c - all adapters of a model as plain LoRAs (variants/adapter.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "variants/lora.h"
#include "variants/pattern.h"

typedef struct plain_layer {
    const peft_adapter *source;
    peft_lora_factors factors;
} plain_layer;

typedef struct conversion {
    const peft_adapters *all;
    int64_t expert;      /* WHOLE_UPDATE, or which one */
    plain_layer *layers; /* [count] those of which something is left */
    int64_t count;
} conversion;

enum { WHOLE_UPDATE = -1 };

/* ---- factors ---- */

static void free_factors(peft_lora_factors *factors)
{
    free(factors->A);
    free(factors->B);
}

static peft_status add_layer(conversion *c, const peft_adapter *a, peft_error *error)
{
    peft_lora_factors factors;
    bool lacks_it = a->all->variant->expert_to_lora && c->expert >= a->num_experts;
    if (lacks_it) return PEFT_OK;
    peft_status status = c->expert == WHOLE_UPDATE ? peft_adapter_to_lora(a, &factors, error)
                                                   : peft_adapter_expert_to_lora(a, c->expert, &factors, error);
    if (status) return status;
    if (factors.rank > 0)
        c->layers[c->count++] = (plain_layer){a, factors};
    else
        free_factors(&factors);
    return PEFT_OK;
}

static peft_status add_layers(conversion *c, peft_error *error)
{
    c->layers = calloc((size_t)c->all->num_layers + 1, sizeof *c->layers);
    if (!c->layers) return peft_fail(error, PEFT_ERR_MEMORY, "plain LoRAs: out of memory");
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < c->all->num_layers && status == PEFT_OK; i++)
        status = add_layer(c, &c->all->layers[i], error);
    if (status != PEFT_OK || c->count > 0) return status;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: nothing is left of any layer's update", c->all->variant->name);
}

/* ---- options ---- */

/* A number that each layer has, the most frequent one as an option and the others in a pattern. */
typedef struct number_field {
    const char *option, *pattern;
    double (*number)(const plain_layer *layer);
} number_field;

static double rank_of(const plain_layer *layer)
{
    return (double)layer->factors.rank;
}

/* LoRA's scaling is alpha / r. */
static double alpha_of(const plain_layer *layer)
{
    return layer->factors.scaling * (double)layer->factors.rank;
}

static const number_field number_fields[] = {{"rank", "rank_pattern", rank_of}, {"alpha", "alpha_pattern", alpha_of}};

static double most_frequent(const conversion *c, const number_field *field)
{
    double best = 0;
    int64_t most = 0;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t times = 0;
        for (int64_t k = i; k < c->count; k++) times += field->number(&c->layers[k]) == field->number(&c->layers[i]);
        if (times > most) best = field->number(&c->layers[i]);
        if (times > most) most = times;
    }
    return best;
}

static peft_status set_new(peft_lora_options *options, const char *option, json_t *value, peft_error *error)
{
    peft_status status = value ? peft_options_set_json(peft_lora_option_table, options, option, value, error)
                               : peft_fail(error, PEFT_ERR_MEMORY, "plain LoRAs: out of memory");
    json_decref(value);
    return status;
}

static peft_status set_field(const conversion *c, const number_field *field, peft_lora_options *options,
                             peft_error *error)
{
    double usual = most_frequent(c, field);
    json_t *pattern = json_object();
    bool complete = pattern != NULL;
    for (int64_t i = 0; complete && i < c->count; i++) {
        double number = field->number(&c->layers[i]);
        if (number != usual) complete = peft_pattern_put(pattern, c->layers[i].source->module, number);
    }
    peft_status status = complete ? set_new(options, field->option, peft_pattern_number_json(usual), error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "plain LoRAs: out of memory");
    if (status == PEFT_OK && json_object_size(pattern) > 0)
        status = peft_options_set_json(peft_lora_option_table, options, field->pattern, pattern, error);
    json_decref(pattern);
    return status;
}

static peft_status fill_options(const conversion *c, peft_lora_options *options, peft_error *error)
{
    peft_status status = peft_options_init(peft_lora_option_table, options, error);
    for (size_t k = 0; k < sizeof number_fields / sizeof *number_fields && status == PEFT_OK; k++)
        status = set_field(c, &number_fields[k], options, error);
    options->common.dropout = ((const peft_common_options *)c->all->options)->dropout;
    return status;
}

/* ---- adapters ---- */

static peft_status create(const conversion *c, peft_adapters **plain, peft_error *error)
{
    peft_lora_options options = {0};
    peft_layer *layers = calloc((size_t)c->count, sizeof *layers);
    peft_status status =
        layers ? fill_options(c, &options, error) : peft_fail(error, PEFT_ERR_MEMORY, "plain LoRAs: out of memory");
    for (int64_t i = 0; i < c->count && status == PEFT_OK; i++) {
        const peft_adapter *a = c->layers[i].source;
        layers[i] = (peft_layer){a->module, a->in_features, a->out_features};
    }
    if (status == PEFT_OK)
        status = peft_adapters_create(plain, peft_variant_find("lora"), &options, layers, c->count, 0, error);
    peft_options_free(peft_lora_option_table, &options);
    free(layers);
    return status;
}

static void copy_values(const conversion *c, peft_adapters *plain)
{
    for (int64_t i = 0; i < c->count; i++) {
        const peft_lora_factors *f = &c->layers[i].factors;
        peft_adapter *a = &plain->layers[i];
        memcpy(a->values[PEFT_LORA_A].data, f->A, (size_t)(f->rank * a->in_features) * sizeof(float));
        memcpy(a->values[PEFT_LORA_B].data, f->B, (size_t)(f->rank * a->out_features) * sizeof(float));
    }
}

static peft_status convert(const peft_adapters *all, int64_t expert, peft_adapters **plain, peft_error *error)
{
    conversion c = {.all = all, .expert = expert};
    *plain = NULL;
    peft_status status = add_layers(&c, error);
    if (status == PEFT_OK) status = create(&c, plain, error);
    if (status == PEFT_OK) copy_values(&c, *plain);
    for (int64_t i = 0; i < c.count; i++) free_factors(&c.layers[i].factors);
    free(c.layers);
    return status;
}

peft_status peft_adapters_to_lora(const peft_adapters *all, peft_adapters **plain, peft_error *error)
{
    return convert(all, WHOLE_UPDATE, plain, error);
}

int64_t peft_adapters_num_experts(const peft_adapters *all)
{
    int64_t most = 0;
    for (int64_t i = 0; i < all->num_layers && all->variant->expert_to_lora; i++)
        if (all->layers[i].num_experts > most) most = all->layers[i].num_experts;
    return most;
}

peft_status peft_adapters_expert_to_lora(const peft_adapters *all, int64_t expert, peft_adapters **plain,
                                         peft_error *error)
{
    int64_t experts = peft_adapters_num_experts(all);
    if (expert >= 0 && (expert < experts || experts == 0)) return convert(all, expert, plain, error);
    *plain = NULL;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected an expert from 0 to %" PRId64 ", found %" PRId64,
                     all->variant->name, experts - 1, expert);
}
