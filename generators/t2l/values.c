/* generators/t2l/values.c - the tensors of the network, under the names of the official class. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "generators/value_list.h"
#include "io/file_tensor.h"

static void add_table(peft_value_list *l, int64_t rows, int64_t columns, const char *name)
{
    peft_value_list_add(
        l, (peft_value_spec){.shape = peft_shape_2(rows, columns), .start = PEFT_START_NORMAL, .spread = 1}, "%s",
        name);
}

/* ---- of each place ---- */

static peft_shape for_each_place(const peft_place_kind *kind, const peft_place_tensor *tensor)
{
    if (tensor->shape.ndim == PEFT_MAX_DIMS) return peft_shape_2(kind->num_places, tensor->count);
    peft_shape shape = {.ndim = tensor->shape.ndim + 1, .size = {kind->num_places}};
    for (int32_t d = 0; d < tensor->shape.ndim; d++) shape.size[d + 1] = tensor->shape.size[d];
    return shape;
}

/* `what`.X.m for all tensors X of all kinds m */
static void add_for_places(peft_value_list *l, const peft_t2l *t, const char *what, peft_start start)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            peft_value_list_add(l,
                                (peft_value_spec){.shape = for_each_place(kind, &kind->tensors[v]),
                                                  .kind = PEFT_VALUE_FROZEN,
                                                  .start = start},
                                "%s.%s.%s", what, kind->tensors[v].name, kind->name);
}

static void add_biases(peft_value_list *l, const peft_t2l *t)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++) {
            const peft_place_tensor *tensor = &kind->tensors[v];
            bool each = t->bias == PEFT_T2L_BIAS_PLACE;
            if (tensor->emitted)
                peft_value_list_add(l, (peft_value_spec){.shape = each ? for_each_place(kind, tensor) : tensor->shape},
                                    "bias.%s.%s", tensor->name, kind->name);
        }
}

/* What all layers share is trained, or kept, as it is. */
static void add_model(peft_value_list *l, const peft_adapters *adapters)
{
    for (int32_t v = 0; v < adapters->num_values; v++)
        if (adapters->values[v].spec.kind != PEFT_VALUE_STATE)
            peft_value_list_add(l, adapters->values[v].spec, "model.%s", adapters->values[v].spec.name);
}

/* ---- the parts ---- */

static void add_task_encoder(peft_value_list *l, const peft_t2l *t)
{
    const char *kind = t->options.task_encoder;
    int64_t E = t->vector_size, z = t->options.latent_size, k = z / 2;
    if (strcmp(kind, "linear") == 0 || strcmp(kind, "one-hot") == 0) {
        peft_value_list_linear(l, E, k, "task_encoder.mlp.0");
        peft_value_list_norm(l, k, "task_encoder.mlp.1");
    } else if (strcmp(kind, "discrete") == 0) {
        peft_value_list_linear(l, E, PEFT_T2L_CLASS_HIDDEN, "task_encoder.mlp.0");
        peft_value_list_linear(l, PEFT_T2L_CLASS_HIDDEN, PEFT_T2L_CLASSES, "task_encoder.mlp.3");
    } else {
        bool vq = strcmp(kind, "vq") == 0;
        peft_value_spec codes = {.shape = vq ? peft_shape_2(k, PEFT_T2L_CODES) : peft_shape_2(PEFT_T2L_CODES, k),
                                 .kind = vq ? PEFT_VALUE_FROZEN : PEFT_VALUE_TRAINED,
                                 .start = PEFT_START_NORMAL,
                                 .spread = 1};
        peft_value_list_add(l, codes, "task_encoder.embed");
        if (vq) {
            peft_value_list_add(l, (peft_value_spec){.shape = peft_shape_1(PEFT_T2L_CODES), .kind = PEFT_VALUE_FROZEN},
                                "task_encoder.cluster_size");
            peft_value_list_add(l, codes, "task_encoder.embed_avg");
        }
        peft_value_list_linear(l, E, 2 * z, "task_encoder.mlp.0");
        peft_value_list_linear(l, 2 * z, vq ? k : PEFT_T2L_CODES, "task_encoder.mlp.3");
        peft_value_list_norm(l, k, "task_encoder.ln");
    }
}

static void add_address(peft_value_list *l, const peft_t2l *t)
{
    int64_t q = t->options.latent_size / 4;
    if (peft_t2l_is_discrete(t)) return;
    add_table(l, t->places.num_depths, q, "layer_depth_encoder.0.weight");
    peft_value_list_norm(l, q, "layer_depth_encoder.1");
    add_table(l, t->places.num_kinds, q, "layer_type_encoder.0.weight");
    peft_value_list_norm(l, q, "layer_type_encoder.1");
}

static void add_trunk(peft_value_list *l, const peft_t2l *t)
{
    int64_t d = t->width;
    peft_value_list_linear(l, d, 4 * d, "mixer.1");
    peft_value_list_linear(l, 4 * d, d, "mixer.4");
    static const char *const blocks[][3] = {{"mlp1.mlp.0", "mlp1.mlp.1", "mlp1.mlp.4"},
                                            {"mlp2.mlp.0", "mlp2.mlp.1", "mlp2.mlp.4"},
                                            {"mlp3.0", "mlp3.1", "mlp3.4"}};
    for (int b = 0; b < 3; b++) {
        peft_value_list_norm(l, d, blocks[b][0]);
        peft_value_list_linear(l, d, 4 * d, blocks[b][1]);
        peft_value_list_linear(l, 4 * d, b < 2 ? d : t->options.head_size, blocks[b][2]);
    }
}

static void add_codes(peft_value_list *l, const peft_t2l *t)
{
    int64_t d = t->width;
    if (peft_t2l_emits_rows(t) && !t->rotary) {
        add_table(l, t->places.most_rows, d, "pos_emb.0.weight");
        peft_value_list_norm(l, d, "pos_emb.1");
    }
    if (!peft_t2l_emits_sides(t)) return;
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            if (kind->tensors[v].emitted)
                peft_value_list_add(
                    l, (peft_value_spec){.shape = peft_shape_1(d), .start = PEFT_START_NORMAL, .spread = 1},
                    "out_emb.%s.%s", kind->name, kind->tensors[v].name);
    peft_value_list_norm(l, d, "out_emb_norm");
}

static void add_heads(peft_value_list *l, const peft_t2l *t)
{
    bool random = strcmp(t->options.start, "random") == 0;
    double bound = 1 / sqrt((double)t->options.head_size);
    peft_value_spec spec = {.start = random ? PEFT_START_UNIFORM : PEFT_START_ZERO, .spread = bound};
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++) {
        int64_t columns = peft_t2l_head_columns(t, kind);
        if (columns == 0) continue;
        spec.shape = peft_shape_2(columns, t->options.head_size);
        peft_value_list_add(l, spec, "heads.%s.weight", kind->name);
        spec.shape = peft_shape_1(columns);
        if (t->bias == PEFT_T2L_BIAS_HEAD) peft_value_list_add(l, spec, "heads.%s.bias", kind->name);
    }
    if (t->bias >= PEFT_T2L_BIAS_TENSOR) add_biases(l, t);
}

static void list_all(peft_value_list *l, const peft_t2l *t)
{
    add_for_places(l, t, "AB_offset", PEFT_START_ZERO);
    if (t->output == PEFT_T2L_Z_SCORE) {
        add_for_places(l, t, "mean_recon_target", PEFT_START_ZERO);
        add_for_places(l, t, "std_recon_target", PEFT_START_ONE);
    }
    add_model(l, t->places.adapters);
    add_task_encoder(l, t);
    add_address(l, t);
    add_trunk(l, t);
    add_codes(l, t);
    add_heads(l, t);
}

peft_status peft_t2l_list_values(peft_t2l *t, uint64_t seed, peft_error *error)
{
    peft_value_list l = {.names = &t->memory};
    list_all(&l, t);
    return peft_value_list_finish(&l, &t->set, seed, error);
}

peft_status peft_t2l_count_values(peft_t2l *t, int64_t *numbers, peft_error *error)
{
    peft_value_list l = {.names = &t->memory};
    list_all(&l, t);
    *numbers = 0;
    for (int64_t k = 0; k < l.count; k++) {
        int64_t count = peft_shape_checked_count(&l.specs[k].shape, PEFT_F32);
        *numbers = count < 0 || count > INT64_MAX - *numbers ? INT64_MAX : *numbers + count;
    }
    bool failed = l.failed;
    free(l.specs);
    return failed ? peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its values") : PEFT_OK;
}
