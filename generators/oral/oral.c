#include "generators/oral/oral.h"

#include <stdio.h>

#include "ops/ops.h"

enum { NAME_BYTES = 64 };
static const char denoiser_name[] = "criteria.net";

static const char *block_name(char name[NAME_BYTES], int64_t block)
{
    snprintf(name, NAME_BYTES, "model.mamba_forward.%lld", (long long)block);
    return name;
}

peft_oral_sizes peft_oral_default_sizes(int64_t tokens, int64_t width, int64_t condition)
{
    return (peft_oral_sizes){
        .tokens = tokens,
        .condition = condition,
        .blocks = 2,
        .own_condition = true,
        .mamba = {.version = 2, .width = width, .state = 128, .taps = 4, .expand = 2, .head = 64, .chunk = 64},
        .denoiser = {.width = width, .channels = {1, 32, 64, 128, 64, 32, 1}, .taps = 7, .norm = PEFT_DENOISER_GROUP}};
}

static peft_status check(const peft_oral_sizes *s, peft_error *error)
{
    if (s->tokens < 1 || s->tokens > INT32_MAX || s->condition < 1 || s->blocks < 1 || s->members < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "generator: expected tokens, a condition and blocks of 1 or more");
    const peft_denoiser *d = &s->denoiser;
    if (d->width < 1 || d->taps < 1 || d->taps % 2 == 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "denoiser: expected a width of 1 or more and an odd number of taps");
    if (d->channels[0] != 1 || d->channels[PEFT_DENOISER_LAYERS] != 1 || d->channels[1] != d->channels[5] ||
        d->channels[2] != d->channels[4])
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "denoiser: channels: expected 1 at both ends, and those of layers that are added up alike");
    for (int k = 0; k <= PEFT_DENOISER_LAYERS; k++)
        if (d->channels[k] < 1)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "denoiser: channels: expected 1 or more, found %lld",
                             (long long)d->channels[k]);
    return peft_mamba_check(&s->mamba, error);
}

static void list_values(const peft_oral *oral, peft_value_list *l)
{
    const peft_oral_sizes *s = &oral->sizes;
    char name[NAME_BYTES];
    peft_value_list_linear(l, s->condition, s->mamba.width, "to_condition");
    if (s->address == PEFT_ORAL_TRAINED)
        peft_value_list_add(l,
                            (peft_value_spec){.shape = peft_shape_2(s->tokens, s->mamba.width),
                                              .start = PEFT_START_NORMAL,
                                              .spread = 1},
                            "model.position_embed");
    if (s->members > 0)
        peft_value_list_add(l,
                            (peft_value_spec){.shape = peft_shape_2(s->members, s->mamba.width),
                                              .start = PEFT_START_CONSTANT,
                                              .spread = 1 / (double)s->mamba.width},
                            "model.to_permutation_state.weight");
    for (int64_t k = 0; k < s->blocks; k++) peft_mamba_list(&s->mamba, l, block_name(name, k));
    peft_denoiser_list(&s->denoiser, l, denoiser_name);
}

peft_status peft_oral_create(peft_oral *oral, const peft_oral_sizes *sizes, uint64_t seed, peft_error *error)
{
    *oral = (peft_oral){.sizes = *sizes};
    oral->sizes.denoiser.prototype = sizes->mamba.width;
    oral->sizes.denoiser.condition = sizes->own_condition ? sizes->condition : 0;
    peft_status status = check(&oral->sizes, error);
    if (status != PEFT_OK) return status;
    peft_denoiser_frequencies(oral->frequencies);
    peft_value_list list = {.names = &oral->names};
    list_values(oral, &list);
    status = peft_value_list_finish(&list, &oral->set, seed, error);
    char name[NAME_BYTES];
    for (int64_t k = 0; k < sizes->blocks && status == PEFT_OK; k++)
        peft_mamba_draw(&oral->sizes.mamba, &oral->set, block_name(name, k), seed);
    if (status != PEFT_OK) peft_oral_free(oral);
    return status;
}

void peft_oral_free(peft_oral *oral)
{
    peft_value_set_free(&oral->set);
    peft_arena_free(&oral->names);
    *oral = (peft_oral){0};
}

/* ---- (1) to (3) ---- */

/* The address of each token of each adapter. */
static peft_tensor *repeat(peft_graph *g, peft_tensor *addresses, int64_t adapters)
{
    if (!addresses) return NULL;
    const int64_t tokens = addresses->shape.size[0];
    int32_t *rows;
    peft_tensor *ids = peft_integers(g, adapters * tokens, &rows);
    for (int64_t k = 0; ids && k < adapters * tokens; k++) rows[k] = (int32_t)(k % tokens);
    return peft_embedding(g, addresses, ids);
}

peft_tensor *peft_oral_prototypes(const peft_net *net, const peft_oral *oral, peft_tensor *conditions,
                                  peft_tensor *addresses, peft_tensor *starts, peft_tensor *members)
{
    const peft_oral_sizes *s = &oral->sizes;
    peft_graph *g = net->g;
    if (!conditions) return NULL;
    if (s->address == PEFT_ORAL_TRAINED) addresses = peft_net_leaf(net, "model.position_embed");
    peft_tensor *every = peft_net_linear(net, conditions, "to_condition");
    if (members)
        every = peft_add(g, every, peft_embedding(g, peft_net_leaf(net, "model.to_permutation_state.weight"), members));
    peft_tensor *x = peft_add(g, repeat(g, addresses, conditions->shape.size[0]), peft_spread(g, every, starts));
    char name[NAME_BYTES];
    for (int64_t k = 0; k < s->blocks; k++) x = peft_mamba_block(net, &s->mamba, block_name(name, k), x, starts);
    return x;
}

peft_tensor *peft_oral_estimate(const peft_net *net, const peft_oral *oral, peft_tensor *x, peft_tensor *prototypes,
                                peft_tensor *conditions, peft_tensor *time, peft_denoiser_moments *moments)
{
    return peft_denoiser_estimate(net, &oral->sizes.denoiser, denoiser_name, x, prototypes, conditions, time, moments);
}

peft_tensor *peft_oral_loss(const peft_net *net, peft_tensor *estimate, peft_tensor *target, peft_tensor *mask,
                            double normaliser)
{
    return peft_mse(net->g, peft_mul(net->g, estimate, mask), peft_mul(net->g, target, mask), normaliser);
}
