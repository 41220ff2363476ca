/* generators/t2l/values.c - the tensors of the network, under the names of the official class. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "io/file_tensor.h"

enum { MAX_NAME = 256 };

typedef struct list {
    peft_value_spec *specs;
    int64_t count, room;
    peft_arena *names;
    bool failed; /* out of memory */
} list;

/* ---- one value ---- */

static PEFT_PRINTF(3, 4) void add(list *l, peft_value_spec spec, const char *format, ...)
{
    char text[MAX_NAME];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *name = length >= 0 ? peft_arena_take(l->names, (size_t)length + 1) : NULL;
    if (l->count == l->room) {
        int64_t room = 2 * l->room + 64;
        peft_value_spec *specs = realloc(l->specs, (size_t)room * sizeof *specs);
        if (specs) l->specs = specs, l->room = room;
    }
    if (!name || l->count == l->room) {
        l->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(name, (size_t)length + 1, format, arguments);
    va_end(arguments);
    spec.name = name;
    spec.role = PEFT_ROLE_OTHER;
    l->specs[l->count++] = spec;
}

static void add_linear(list *l, int64_t in, int64_t out, const char *name)
{
    const double bound = 1 / sqrt((double)in);
    add(l, (peft_value_spec){.shape = peft_shape_2(out, in), .start = PEFT_START_UNIFORM, .spread = bound}, "%s.weight",
        name);
    add(l, (peft_value_spec){.shape = peft_shape_1(out), .start = PEFT_START_UNIFORM, .spread = bound}, "%s.bias",
        name);
}

static void add_norm(list *l, int64_t size, const char *name)
{
    add(l, (peft_value_spec){.shape = peft_shape_1(size), .start = PEFT_START_ONE}, "%s.weight", name);
    add(l, (peft_value_spec){.shape = peft_shape_1(size)}, "%s.bias", name);
}

static void add_table(list *l, int64_t rows, int64_t columns, const char *name)
{
    add(l, (peft_value_spec){.shape = peft_shape_2(rows, columns), .start = PEFT_START_NORMAL, .spread = 1}, "%s",
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
static void add_for_places(list *l, const peft_t2l *t, const char *what, peft_start start)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            add(l,
                (peft_value_spec){
                    .shape = for_each_place(kind, &kind->tensors[v]), .kind = PEFT_VALUE_FROZEN, .start = start},
                "%s.%s.%s", what, kind->tensors[v].name, kind->name);
}

static void add_biases(list *l, const peft_t2l *t)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++) {
            const peft_place_tensor *tensor = &kind->tensors[v];
            bool each = t->bias == PEFT_T2L_BIAS_PLACE;
            if (tensor->emitted)
                add(l, (peft_value_spec){.shape = each ? for_each_place(kind, tensor) : tensor->shape}, "bias.%s.%s",
                    tensor->name, kind->name);
        }
}

/* What all layers share is trained, or kept, as it is. */
static void add_model(list *l, const peft_adapters *adapters)
{
    for (int32_t v = 0; v < adapters->num_values; v++)
        if (adapters->values[v].spec.kind != PEFT_VALUE_STATE)
            add(l, adapters->values[v].spec, "model.%s", adapters->values[v].spec.name);
}

/* ---- the parts ---- */

static void add_task_encoder(list *l, const peft_t2l *t)
{
    const char *kind = t->options.task_encoder;
    int64_t E = t->vector_size, z = t->options.latent_size, k = z / 2;
    if (strcmp(kind, "linear") == 0 || strcmp(kind, "one-hot") == 0) {
        add_linear(l, E, k, "task_encoder.mlp.0");
        add_norm(l, k, "task_encoder.mlp.1");
    } else if (strcmp(kind, "discrete") == 0) {
        add_linear(l, E, PEFT_T2L_CLASS_HIDDEN, "task_encoder.mlp.0");
        add_linear(l, PEFT_T2L_CLASS_HIDDEN, PEFT_T2L_CLASSES, "task_encoder.mlp.3");
    } else {
        bool vq = strcmp(kind, "vq") == 0;
        peft_value_spec codes = {.shape = vq ? peft_shape_2(k, PEFT_T2L_CODES) : peft_shape_2(PEFT_T2L_CODES, k),
                                 .kind = vq ? PEFT_VALUE_FROZEN : PEFT_VALUE_TRAINED,
                                 .start = PEFT_START_NORMAL,
                                 .spread = 1};
        add(l, codes, "task_encoder.embed");
        if (vq) {
            add(l, (peft_value_spec){.shape = peft_shape_1(PEFT_T2L_CODES), .kind = PEFT_VALUE_FROZEN},
                "task_encoder.cluster_size");
            add(l, codes, "task_encoder.embed_avg");
        }
        add_linear(l, E, 2 * z, "task_encoder.mlp.0");
        add_linear(l, 2 * z, vq ? k : PEFT_T2L_CODES, "task_encoder.mlp.3");
        add_norm(l, k, "task_encoder.ln");
    }
}

static void add_address(list *l, const peft_t2l *t)
{
    int64_t q = t->options.latent_size / 4;
    if (peft_t2l_is_discrete(t)) return;
    add_table(l, t->places.num_depths, q, "layer_depth_encoder.0.weight");
    add_norm(l, q, "layer_depth_encoder.1");
    add_table(l, t->places.num_kinds, q, "layer_type_encoder.0.weight");
    add_norm(l, q, "layer_type_encoder.1");
}

static void add_trunk(list *l, const peft_t2l *t)
{
    int64_t d = t->width;
    add_linear(l, d, 4 * d, "mixer.1");
    add_linear(l, 4 * d, d, "mixer.4");
    static const char *const blocks[][3] = {{"mlp1.mlp.0", "mlp1.mlp.1", "mlp1.mlp.4"},
                                            {"mlp2.mlp.0", "mlp2.mlp.1", "mlp2.mlp.4"},
                                            {"mlp3.0", "mlp3.1", "mlp3.4"}};
    for (int b = 0; b < 3; b++) {
        add_norm(l, d, blocks[b][0]);
        add_linear(l, d, 4 * d, blocks[b][1]);
        add_linear(l, 4 * d, b < 2 ? d : t->options.head_size, blocks[b][2]);
    }
}

static void add_codes(list *l, const peft_t2l *t)
{
    int64_t d = t->width;
    if (peft_t2l_emits_rows(t) && !t->rotary) {
        add_table(l, t->places.most_rows, d, "pos_emb.0.weight");
        add_norm(l, d, "pos_emb.1");
    }
    if (!peft_t2l_emits_sides(t)) return;
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            if (kind->tensors[v].emitted)
                add(l, (peft_value_spec){.shape = peft_shape_1(d), .start = PEFT_START_NORMAL, .spread = 1},
                    "out_emb.%s.%s", kind->name, kind->tensors[v].name);
    add_norm(l, d, "out_emb_norm");
}

static void add_heads(list *l, const peft_t2l *t)
{
    bool random = strcmp(t->options.start, "random") == 0;
    double bound = 1 / sqrt((double)t->options.head_size);
    peft_value_spec spec = {.start = random ? PEFT_START_UNIFORM : PEFT_START_ZERO, .spread = bound};
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++) {
        int64_t columns = peft_t2l_head_columns(t, kind);
        if (columns == 0) continue;
        spec.shape = peft_shape_2(columns, t->options.head_size);
        add(l, spec, "heads.%s.weight", kind->name);
        spec.shape = peft_shape_1(columns);
        if (t->bias == PEFT_T2L_BIAS_HEAD) add(l, spec, "heads.%s.bias", kind->name);
    }
    if (t->bias >= PEFT_T2L_BIAS_TENSOR) add_biases(l, t);
}

static peft_status list_all(list *l, const peft_t2l *t, peft_error *error)
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
    return l->failed ? peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its values") : PEFT_OK;
}

peft_status peft_t2l_list_values(peft_t2l *t, uint64_t seed, peft_error *error)
{
    list l = {.names = &t->memory};
    peft_status status = list_all(&l, t, error);
    if (status == PEFT_OK) status = peft_value_set_create(&t->set, "", l.specs, l.count, seed, error);
    free(l.specs);
    return status;
}

peft_status peft_t2l_count_values(peft_t2l *t, int64_t *numbers, peft_error *error)
{
    list l = {.names = &t->memory};
    peft_status status = list_all(&l, t, error);
    *numbers = 0;
    for (int64_t k = 0; k < l.count; k++) {
        int64_t count = peft_shape_checked_count(&l.specs[k].shape, PEFT_F32);
        *numbers = count < 0 || count > INT64_MAX - *numbers ? INT64_MAX : *numbers + count;
    }
    free(l.specs);
    return status;
}
