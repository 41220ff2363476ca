/* generators/t2l/heads.c - equation (4) of t2l.h: from what all heads share to the tensors. */
#include <string.h>

#include "generators/t2l/internal.h"

/* ---- which rows a head reads ---- */

/* Rows of one kind, and with M and S of one tensor of it: `places` x descriptions x `each`. */
typedef struct segment {
    const peft_place_kind *kind;
    int32_t tensor; /* -1: all of the kind's */
    int64_t first_place, each;
} segment;

/* Calls of `use` for each segment, in their order. */
typedef void use_segment(void *argument, const segment *part);
static void each_segment(const peft_t2l *t, use_segment *use, void *argument)
{
    int64_t first = 0;
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++) {
        segment part = {kind, -1, first, t->head == PEFT_T2L_LR ? peft_t2l_kind_rows(kind) : 1};
        if (!peft_t2l_emits_sides(t) && peft_t2l_kind_rows(kind) > 0) use(argument, &part);
        for (part.tensor = 0; peft_t2l_emits_sides(t) && part.tensor < kind->num_tensors; part.tensor++) {
            part.each = t->head == PEFT_T2L_S ? kind->tensors[part.tensor].rows : 1;
            if (kind->tensors[part.tensor].emitted) use(argument, &part);
        }
        first += kind->num_places;
    }
}

/* The lines that each row reads: of the trunk, of the sides' table (or of the trunk with sides), of the ranks. */
typedef struct lines {
    int64_t N, rows, sides;
    peft_t2l_lines trunk, side, rank;
} lines;

static void count_rows(void *argument, const segment *part)
{
    lines *l = argument;
    l->rows += part->kind->num_places * l->N * part->each;
}

static void fill_sides(void *argument, const segment *part)
{
    lines *l = argument;
    for (int64_t r = 0; r < part->kind->num_places * l->N; r++) {
        peft_t2l_add_line(&l->trunk, part->first_place * l->N + r);
        peft_t2l_add_line(&l->side, l->sides);
    }
    l->sides++;
}

/* `sides` counts the rows in front of this segment, before ranks are told apart. */
static void fill_ranks(void *argument, const segment *part)
{
    lines *l = argument;
    const int64_t rows = part->kind->num_places * l->N, first = part->tensor < 0 ? part->first_place * l->N : l->sides;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < part->each; k++) {
            peft_t2l_add_line(&l->trunk, first + r);
            peft_t2l_add_line(&l->rank, k);
        }
    l->sides += rows;
}

/* Rows of many tensors one after another, more than one op takes. */
typedef struct parts {
    peft_graph *g;
    peft_tensor *list[PEFT_MAX_INPUTS];
    int32_t count;
} parts;

static void add_part(parts *p, peft_tensor *part)
{
    if (p->count == PEFT_MAX_INPUTS) {
        p->list[0] = peft_concat(p->g, 0, p->list, p->count);
        p->count = 1;
    }
    p->list[p->count++] = part;
}

/* LN of all o_{m,X}: [sides, d] */
static peft_tensor *side_table(peft_t2l_scope *s)
{
    const peft_places *places = &s->t->places;
    parts all = {.g = s->net.g};
    for (const peft_place_kind *kind = places->kinds; kind < places->kinds + places->num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            if (kind->tensors[v].emitted)
                add_part(&all, peft_reshape(s->net.g,
                                            peft_net_leaf(&s->net, "out_emb.%s.%s", kind->name, kind->tensors[v].name),
                                            peft_shape_2(1, s->t->width)));
    return peft_t2l_norm(s, peft_concat(s->net.g, 0, all.list, all.count), "out_emb_norm");
}

/* u + LN(o_{m,X}), a row for each tensor of each place and description */
static peft_tensor *add_sides(peft_t2l_scope *s, peft_tensor *u, int64_t N)
{
    const peft_places *places = &s->t->places;
    lines l = {.N = N};
    for (const peft_place_kind *kind = places->kinds; kind < places->kinds + places->num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++) l.rows += kind->tensors[v].emitted ? kind->num_places * N : 0;
    l.trunk = peft_t2l_open_lines(s->net.g, l.rows);
    l.side = peft_t2l_open_lines(s->net.g, l.rows);
    each_segment(s->t, fill_sides, &l);
    peft_tensor *sides = peft_embedding(s->net.g, side_table(s), l.side.tensor);
    return peft_add(s->net.g, peft_embedding(s->net.g, u, l.trunk.tensor), sides);
}

/* The rank codes' table LN(P) [most rows, d] */
static peft_tensor *rank_table(peft_t2l_scope *s)
{
    return peft_t2l_norm(s, peft_net_leaf(&s->net, "pos_emb.0.weight"), "pos_emb.1");
}

/* What mlp3 reads: v of (4), with a row for each line that the heads emit. */
static peft_tensor *rows_of_heads(peft_t2l_scope *s, peft_tensor *u, int64_t N)
{
    const peft_t2l *t = s->t;
    peft_graph *g = s->net.g;
    if (t->head == PEFT_T2L_L) return peft_t2l_mlp2(s, u);
    if (t->head == PEFT_T2L_M) return peft_t2l_mlp2(s, add_sides(s, u, N));
    peft_tensor *v = t->head == PEFT_T2L_S ? peft_t2l_mlp2(s, add_sides(s, u, N)) : u;
    lines l = {.N = N};
    each_segment(t, count_rows, &l);
    l.trunk = peft_t2l_open_lines(g, l.rows);
    l.rank = peft_t2l_open_lines(g, l.rows);
    each_segment(t, fill_ranks, &l);
    v = peft_embedding(g, v, l.trunk.tensor);
    if (t->rotary) return peft_t2l_mlp2(s, peft_t2l_rotate(s, v, l.rank.tensor));
    if (t->head == PEFT_T2L_S) /* mlp2 of the table, not of the sum */
        return peft_add(g, v, peft_embedding(g, peft_t2l_mlp2(s, rank_table(s)), l.rank.tensor));
    return peft_t2l_mlp2(s, peft_add(g, v, peft_embedding(g, rank_table(s), l.rank.tensor)));
}

/* Rows that were emitted, [n, rows x columns], in the layout of the variant: [n, count]. */
static peft_tensor *in_layout(peft_graph *g, peft_tensor *y, const peft_place_tensor *tensor)
{
    if (!y || !tensor->transposed) return y;
    static const int32_t swapped[] = {0, 2, 1};
    const int64_t ranks = tensor->shape.size[tensor->shape.ndim - 1], n = y->shape.size[0];
    peft_tensor *rows = peft_reshape(g, y, peft_shape_3(n * tensor->rows / ranks, ranks, tensor->columns));
    return peft_reshape(g, peft_permute(g, rows, swapped), peft_shape_2(n, tensor->count));
}

/* From the head's output y [n x each, columns], of which the tensor's part begins at column `at`. */
static peft_tensor *take_tensor(peft_graph *g, const peft_t2l *t, const segment *part, peft_tensor *y, int64_t at,
                                const peft_place_tensor *tensor)
{
    if (!y) return NULL;
    const int64_t n = y->shape.size[0] / part->each;
    if (t->head == PEFT_T2L_M) { /* rows of equal length, of which the tensor's are the first columns */
        const int64_t rows = peft_t2l_kind_rows(part->kind);
        y = peft_reshape(g, y, peft_shape_2(n * rows, peft_columns(y) / rows));
        y = peft_slice(g, y, 1, 0, tensor->columns);
    } else {
        y = peft_slice(g, y, 1, at, peft_t2l_emits_rows(t) ? tensor->columns : tensor->count);
    }
    const int64_t made = y ? peft_shape_count(&y->shape) / n : 0;
    y = peft_reshape(g, y, peft_shape_2(n, made));
    if (made > tensor->count) y = peft_slice(g, y, 1, 0, tensor->count);
    return in_layout(g, y, tensor);
}

static peft_tensor *add_bias(peft_t2l_scope *s, peft_tensor *y, const peft_place_kind *kind,
                             const peft_place_tensor *tensor, int64_t N)
{
    if (s->t->bias < PEFT_T2L_BIAS_TENSOR) return y;
    peft_tensor *bias = peft_net_leaf(&s->net, "bias.%s.%s", tensor->name, kind->name);
    if (s->t->bias == PEFT_T2L_BIAS_PLACE)
        return peft_add(s->net.g, y, peft_t2l_for_all_rows(s, bias, kind, tensor, N));
    return peft_add(s->net.g, y, peft_reshape(s->net.g, bias, peft_shape_1(tensor->count)));
}

typedef struct emission {
    peft_t2l_scope *s;
    peft_tensor *h; /* of all rows */
    int64_t N, row;
    peft_t2l_kind_output *outputs;
} emission;

static void emit_segment(void *argument, const segment *part)
{
    emission *e = argument;
    peft_t2l_scope *s = e->s;
    const peft_place_kind *kind = part->kind;
    const int64_t rows = kind->num_places * e->N * part->each;
    peft_tensor *weight = peft_net_leaf(&s->net, "heads.%s.weight", kind->name);
    peft_tensor *bias = s->t->bias == PEFT_T2L_BIAS_HEAD ? peft_net_leaf(&s->net, "heads.%s.bias", kind->name) : NULL;
    peft_tensor *y = peft_linear(s->net.g, peft_slice(s->net.g, e->h, 0, e->row, rows), weight, bias);
    int64_t at = 0;
    for (int32_t v = 0; v < kind->num_tensors; v++) {
        const peft_place_tensor *tensor = &kind->tensors[v];
        if (!tensor->emitted || (part->tensor >= 0 && v != part->tensor)) continue;
        peft_tensor *taken = take_tensor(s->net.g, s->t, part, y, at, tensor);
        e->outputs[kind - s->t->places.kinds].tensors[v] = add_bias(s, taken, kind, tensor, e->N);
        at += peft_t2l_emits_rows(s->t) ? tensor->columns : tensor->count;
    }
    e->row += rows;
}

void peft_t2l_emit(peft_graph *g, const peft_t2l *t, peft_tensor *vectors, bool training, int64_t first,
                   peft_t2l_kind_output *outputs)
{
    peft_t2l_scope s = {.net = {g, &t->set, training}, .t = t, .first_row = first * t->places.num_places};
    memset(outputs, 0, (size_t)t->places.num_kinds * sizeof *outputs);
    peft_tensor *u = peft_t2l_trunk(&s, vectors);
    if (!u) return;
    const int64_t N = vectors->shape.size[0];
    emission e = {.s = &s, .h = peft_t2l_mlp3(&s, rows_of_heads(&s, u, N)), .N = N, .outputs = outputs};
    each_segment(t, emit_segment, &e);
}
