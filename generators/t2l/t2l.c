#include "generators/t2l/t2l.h"

#include <stdlib.h>
#include <string.h>

#include "generators/t2l/internal.h"

/* ---- options ---- */

static const char *const heads[] = {"L", "M", "S", "LR", NULL};
static const char *const rank_codes[] = {"learned", "rotary", NULL};
static const char *const task_encoders[] = {"linear", "discrete", "softmax", "vq", "one-hot", NULL};
static const char *const starts[] = {"zero", "hyperinit", "random", NULL};
static const char *const biases[] = {"head", "none", "tensor", "place", NULL};
static const char *const outputs[] = {"plain", "z-score", "product", NULL};

#define FIELD(name_) .name = #name_, .offset = offsetof(peft_t2l_options, name_), .group = "Network"
#define WORD(choices_, initial_)                                                                                       \
    .type = PEFT_OPTION_STRING, .choices = choices_, .initial = initial_, .placeholder = "NAME"

const peft_option peft_t2l_option_table[] = {
    {FIELD(head), WORD(heads, "L"), .help = "what is emitted at once: all of a place, a tensor, or a row (S, LR)"},
    {FIELD(rank_code), WORD(rank_codes, "learned"), .help = "how S and LR tell rows apart"},
    {FIELD(task_encoder), WORD(task_encoders, "linear"), .help = "from a description's vector to its code"},
    {FIELD(latent_size), .type = PEFT_OPTION_INT, .initial = "128", .min = 4, .max = 65536, .placeholder = "N",
     .help = "width of the network, a multiple of 4"},
    {FIELD(head_size), .type = PEFT_OPTION_INT, .initial = "512", .min = 1, .max = 65536, .placeholder = "N",
     .help = "width of what the heads read"},
    {FIELD(start), WORD(starts, "zero"),
     .help =
         "zero: every description gives one adapter that changes nothing; hyperinit: that of the published program; "
         "random: for reconstruction"},
    {FIELD(bias), WORD(biases, "head"), .help = "of what is emitted: the head's, none, one of each tensor or place"},
    {FIELD(emits), WORD(outputs, "plain"), .help = "what is emitted: values, z-scores of a library, scaled factors"},
    {FIELD(product_scale), .type = PEFT_OPTION_FLOAT, .initial = "10000", .min = 1e-6, .max = 1e12, .placeholder = "X",
     .help = "with --emits product, so many times the update is emitted"},
    {FIELD(normalise), .type = PEFT_OPTION_BOOL, .help = "normalise what the heads read"},
    {FIELD(dropout), .type = PEFT_OPTION_FLOAT, .initial = "0.05", .max = 0.99, .placeholder = "X",
     .help = "in the network, while it trains"},
    {0}};

static int find(const char *const *words, const char *word)
{
    int index = 0;
    while (words[index] && (!word || strcmp(words[index], word) != 0)) index++;
    return words[index] ? index : -1;
}

/* ---- shapes ---- */

bool peft_t2l_is_discrete(const peft_t2l *t)
{
    return strcmp(t->options.task_encoder, "discrete") == 0;
}

bool peft_t2l_emits_rows(const peft_t2l *t)
{
    return t->head == PEFT_T2L_S || t->head == PEFT_T2L_LR;
}

bool peft_t2l_emits_sides(const peft_t2l *t)
{
    return t->head == PEFT_T2L_M || t->head == PEFT_T2L_S;
}

int64_t peft_t2l_kind_rows(const peft_place_kind *kind)
{
    int64_t rows = 0;
    for (int32_t v = 0; v < kind->num_tensors; v++)
        if (kind->tensors[v].emitted && kind->tensors[v].rows > rows) rows = kind->tensors[v].rows;
    return rows;
}

/* M's rows of all tensors are as long as the longest, S's are one by one. */
int64_t peft_t2l_head_columns(const peft_t2l *t, const peft_place_kind *kind)
{
    int64_t sum = 0, widest = 0;
    for (int32_t v = 0; v < kind->num_tensors; v++) {
        const peft_place_tensor *tensor = &kind->tensors[v];
        if (!tensor->emitted) continue;
        sum += peft_t2l_emits_rows(t) ? tensor->columns : tensor->count;
        if (tensor->columns > widest) widest = tensor->columns;
    }
    if (!peft_t2l_emits_sides(t)) return sum;
    return t->head == PEFT_T2L_S ? widest : widest * peft_t2l_kind_rows(kind);
}

/* ---- making one ---- */

static peft_status copy_options(peft_t2l *t, const peft_t2l_options *options, peft_error *error)
{
    json_t *fields = peft_options_to_json(peft_t2l_option_table, options);
    peft_status status = fields ? peft_options_init(peft_t2l_option_table, &t->options, error)
                                : peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its options");
    for (const peft_option *o = peft_t2l_option_table; o->name && status == PEFT_OK; o++)
        status =
            peft_options_set_json(peft_t2l_option_table, &t->options, o->name, json_object_get(fields, o->name), error);
    json_decref(fields);
    return status;
}

static void read_options(peft_t2l *t)
{
    const peft_t2l_options *o = &t->options;
    t->head = (peft_t2l_head)find(heads, o->head);
    t->bias = (peft_t2l_bias)find(biases, o->bias);
    t->output = (peft_t2l_output)find(outputs, o->emits);
    t->rotary = strcmp(o->rank_code, "rotary") == 0;
    t->width = peft_t2l_is_discrete(t) ? PEFT_T2L_CLASSES + t->places.num_depths + t->places.num_kinds : o->latent_size;
}

static peft_status check(const peft_t2l *t, peft_error *error)
{
    const peft_t2l_options *o = &t->options;
    if (t->vector_size < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "generator: descriptions have vectors of %lld numbers; expected 1 "
                         "or more",
                         (long long)t->vector_size);
    if (o->latent_size % 4 != 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "latent_size: expected a multiple of 4, found %lld",
                         (long long)o->latent_size);
    if (t->rotary && peft_t2l_emits_rows(t) && t->width % 2 != 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "rank_code rotary: the network is %lld wide here, and halves of "
                         "that are rotated; take rank_code learned",
                         (long long)t->width);
    return peft_t2l_check_start(t, error);
}

/* All but its values. */
static peft_status describe(peft_t2l *t, const peft_t2l_options *options, peft_adapters *adapters, int64_t vector_size,
                            peft_error *error)
{
    *t = (peft_t2l){.vector_size = vector_size};
    peft_status status = copy_options(t, options, error);
    if (status == PEFT_OK) status = peft_places_create(&t->places, adapters, error);
    if (status == PEFT_OK) read_options(t);
    return status == PEFT_OK ? check(t, error) : status;
}

peft_status peft_t2l_create(peft_t2l *t, const peft_t2l_options *options, peft_adapters *adapters, int64_t vector_size,
                            uint64_t seed, peft_error *error)
{
    peft_status status = describe(t, options, adapters, vector_size, error);
    if (status == PEFT_OK) status = peft_t2l_list_values(t, seed, error);
    if (status == PEFT_OK && t->rotary && peft_t2l_emits_rows(t)) status = peft_t2l_make_rotations(t, error);
    if (status == PEFT_OK)
        peft_t2l_draw(t, seed);
    else
        peft_t2l_free(t);
    return status;
}

peft_status peft_t2l_measure(const peft_t2l_options *options, peft_adapters *adapters, int64_t vector_size,
                             int64_t *numbers, peft_error *error)
{
    peft_t2l t;
    *numbers = 0;
    peft_status status = describe(&t, options, adapters, vector_size, error);
    if (status == PEFT_OK) status = peft_t2l_count_values(&t, numbers, error);
    peft_t2l_free(&t);
    return status;
}

void peft_t2l_free(peft_t2l *t)
{
    peft_value_set_free(&t->set);
    peft_places_free(&t->places);
    peft_arena_free(&t->memory);
    peft_options_free(peft_t2l_option_table, &t->options);
    free(t->rotations);
    free(t->rotations_f32);
    *t = (peft_t2l){0};
}
