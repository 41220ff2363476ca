/* The only file that knows oneDNN, by the C interface of its version 2. */
#include "ops/onednn/dnnl.h"

#include "ops/cpu/room.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#define LIBRARY    "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

/* ---- the library ---- */

#define FUNCTION_LIST(X)                                                                                               \
    X(version)                                                                                                         \
    X(get_effective_cpu_isa)                                                                                           \
    X(engine_create)                                                                                                   \
    X(engine_destroy)                                                                                                  \
    X(stream_create)                                                                                                   \
    X(stream_destroy)                                                                                                  \
    X(stream_wait)                                                                                                     \
    X(memory_desc_init_by_tag)                                                                                         \
    X(memory_desc_init_by_strides)                                                                                     \
    X(memory_desc_permute_axes)                                                                                        \
    X(memory_desc_get_size)                                                                                            \
    X(memory_create)                                                                                                   \
    X(memory_destroy)                                                                                                  \
    X(memory_set_data_handle)                                                                                          \
    X(matmul_desc_init)                                                                                                \
    X(post_ops_create)                                                                                                 \
    X(post_ops_destroy)                                                                                                \
    X(post_ops_append_sum)                                                                                             \
    X(primitive_attr_create)                                                                                           \
    X(primitive_attr_destroy)                                                                                          \
    X(primitive_attr_set_post_ops)                                                                                     \
    X(primitive_attr_set_fpmath_mode)                                                                                  \
    X(primitive_attr_set_scratchpad_mode)                                                                              \
    X(primitive_desc_create)                                                                                           \
    X(primitive_desc_destroy)                                                                                          \
    X(primitive_desc_query_md)                                                                                         \
    X(reorder_primitive_desc_create)                                                                                   \
    X(primitive_create)                                                                                                \
    X(primitive_destroy)                                                                                               \
    X(primitive_execute)

/* Each function has the type of its declaration, by an extension that gcc and clang share. */
typedef struct library {
    void *handle;
#define X(name) __typeof__(dnnl_##name) *(name);
    FUNCTION_LIST(X)
#undef X
    /* Its threads are OpenMP's: how many is a setting of the calling thread, which is put back after each call. */
    int (*omp_get_max_threads)(void);
    void (*omp_set_num_threads)(int);
} library;

static bool find(void *handle, const char *name, void *function)
{
    void *address = dlsym(handle, name);
    memcpy(function, &address, sizeof address); /* ISO C has no conversion from an object's pointer to a function's */
    return address != NULL;
}

/* Where the program brings an OpenMP of its own, that one serves oneDNN too. */
static bool find_openmp(void *handle, const char *name, void *function)
{
    return find(RTLD_DEFAULT, name, function) || find(handle, name, function);
}

/* Of an error of dlopen: is the library there, but no memory for it? */
static bool lacks_memory(const char *error)
{
    static const char *const signs[] = {"failed to map", "annot allocate memory", "cannot map zero-fill pages",
                                        "cannot change memory protections"};
    for (size_t k = 0; k < sizeof signs / sizeof *signs; k++)
        if (strstr(error, signs[k]) && !strstr(error, "static TLS")) return true;
    return false;
}

/* It does not look whether it gets the memory for the code that it makes, for one product a few megabytes. */
static bool has_room(void)
{
    enum { CODE = 24 << 20 };
    return peft_has_room(CODE);
}

static peft_status no_room(peft_error *error)
{
    return peft_fail(
        error, PEFT_ERR_MEMORY,
        "oneDNN: there is too little memory for it; give more, or take another backend (--backend avx512)");
}

static void library_close(library *l)
{
    if (l->handle) dlclose(l->handle);
    *l = (library){0};
}

/* RTLD_NODELETE: OpenMP leaves something to do at the end of each thread that used it. */
static peft_status library_open(library *l, peft_error *error)
{
    *l = (library){.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)};
    if (!l->handle) {
        const char *reason = dlerror();
        if (lacks_memory(reason)) return no_room(error);
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "oneDNN: %s; install it (Debian: libdnnl%d)", reason,
                         DNNL_VERSION_MAJOR);
    }
    const char *missing = NULL;
#define X(name)                                                                                                        \
    if (!find(l->handle, "dnnl_" #name, &l->name)) missing = "dnnl_" #name;
    FUNCTION_LIST(X)
#undef X
#define X(name)                                                                                                        \
    if (!find_openmp(l->handle, #name, &l->name)) missing = #name;
    X(omp_get_max_threads)
    X(omp_set_num_threads)
#undef X
    bool fits = has_room();
    if (!missing && fits) return PEFT_OK;
    library_close(l);
    if (!fits) return no_room(error);
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "oneDNN: " LIBRARY " lacks %s; expected one built with OpenMP",
                     missing);
}

peft_status peft_dnnl_check(peft_dtype dtype, peft_error *error)
{
    if (dtype == PEFT_BF16 && !__builtin_cpu_supports("avx512bf16"))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "bf16: this CPU lacks its instructions (avx512_bf16); take f32, which is faster here");
    library l;
    peft_status status = library_open(&l, error);
    library_close(&l);
    return status;
}

const char *peft_dnnl_version(char text[PEFT_VERSION_TEXT])
{
    library l;
    snprintf(text, PEFT_VERSION_TEXT, "none");
    if (library_open(&l, NULL) != PEFT_OK) return text;
    const dnnl_version_t *version = l.version();
    snprintf(text, PEFT_VERSION_TEXT, "%d.%d.%d", version->major, version->minor, version->patch);
    library_close(&l);
    return text;
}

/* ---- opened ---- */

enum { ARGUMENT_A, ARGUMENT_B, ARGUMENT_C, ARGUMENT_SCRATCH, ARGUMENT_BIAS, NUM_ARGUMENTS };
static const int argument_names[NUM_ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD,
                                                  DNNL_ARG_BIAS};

/* Code for one height and form. The library binds addresses to objects, so each thread has objects of its own. */
typedef struct product {
    dnnl_primitive_t primitive; /* NULL: not made */
    size_t scratch_bytes;
    dnnl_memory_t *memories; /* [threads][NUM_ARGUMENTS]; none for B */
} product;

/* 1 ... UNIT - 1 rows, then 1, 2, ... units. */
enum { NUM_HEIGHTS = PEFT_DNNL_UNIT - 1 + PEFT_DNNL_MOST / PEFT_DNNL_UNIT };

/* All products with matrices B of one shape. */
typedef struct family {
    struct family *next;
    int64_t k, n;
    dnnl_memory_desc_t packed; /* of B: the same for all heights and forms */
    product products[NUM_HEIGHTS][PEFT_DNNL_NUM_FORMS];
} family;

struct peft_dnnl {
    library l;
    peft_dtype dtype;
    dnnl_data_type_t type;
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* [threads] */
    family *families;
    int64_t expected[NUM_HEIGHTS]; /* 0: not */
};

struct peft_dnnl_matrix {
    peft_dnnl *owner;
    family *family;
    void *data; /* NULL: where it was turned to last */
    size_t bytes;
    dnnl_memory_t memory;
    const struct peft_dnnl_matrix *from; /* of one that is turned, */
    dnnl_primitive_t turn;               /* what does it, */
    atomic_flag turning;                 /* and whether a thread is at it: layers may share a weight */
};

static dnnl_data_type_t type_of(peft_dtype dtype)
{
    return dtype == PEFT_BF16 ? dnnl_bf16 : dnnl_f32;
}

static int begin_alone(const library *l)
{
    int before = l->omp_get_max_threads();
    l->omp_set_num_threads(1);
    return before;
}

static void end_alone(const library *l, int before)
{
    l->omp_set_num_threads(before);
}

static peft_status fail(dnnl_status_t status, const char *what, peft_error *error)
{
    bool memory = status == dnnl_out_of_memory;
    return peft_fail(error, memory ? PEFT_ERR_MEMORY : PEFT_ERR_UNSUPPORTED, "oneDNN: %s: %s (its status %d)", what,
                     memory ? "out of memory" : "refused", (int)status);
}

peft_status peft_dnnl_open(peft_dnnl **d, peft_dtype dtype, int threads, peft_error *error)
{
    *d = NULL;
    peft_dnnl *made = calloc(1, sizeof *made);
    dnnl_stream_t *streams = calloc((size_t)threads, sizeof *streams);
    peft_status status =
        made && streams ? library_open(&made->l, error) : peft_fail(error, PEFT_ERR_MEMORY, "oneDNN: out of memory");
    if (status != PEFT_OK) {
        free(made);
        free(streams);
        return status;
    }
    made->dtype = dtype;
    made->type = type_of(dtype);
    made->threads = threads;
    made->streams = streams;
    dnnl_status_t code = has_room() ? made->l.engine_create(&made->engine, dnnl_cpu, 0) : dnnl_out_of_memory;
    for (int k = 0; !code && k < threads; k++)
        code = made->l.stream_create(&streams[k], made->engine, dnnl_stream_default_flags);
    if (code) {
        peft_dnnl_close(made);
        return fail(code, "an engine for the CPU", error);
    }
    *d = made;
    return PEFT_OK;
}

static void free_product(const peft_dnnl *d, product *p)
{
    for (int k = 0; p->memories && k < d->threads * NUM_ARGUMENTS; k++)
        if (p->memories[k]) d->l.memory_destroy(p->memories[k]);
    free(p->memories);
    if (p->primitive) d->l.primitive_destroy(p->primitive);
    *p = (product){0};
}

static void free_family(const peft_dnnl *d, family *f)
{
    for (int height = 0; height < NUM_HEIGHTS; height++)
        for (int form = 0; form < PEFT_DNNL_NUM_FORMS; form++) free_product(d, &f->products[height][form]);
    free(f);
}

void peft_dnnl_close(peft_dnnl *d)
{
    if (!d) return;
    for (family *f = d->families, *next; f; f = next) {
        next = f->next;
        free_family(d, f);
    }
    for (int k = 0; k < d->threads; k++)
        if (d->streams[k]) d->l.stream_destroy(d->streams[k]);
    free(d->streams);
    if (d->engine) d->l.engine_destroy(d->engine);
    library_close(&d->l);
    free(d);
}

peft_dtype peft_dnnl_dtype(const peft_dnnl *d)
{
    return d->dtype;
}

bool peft_dnnl_amx(const peft_dnnl *d)
{
    return d->dtype == PEFT_BF16 && (~d->l.get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == 0;
}

/* ---- products of one shape ---- */

/* The scratch memory is the caller's; float is never rounded, whatever the environment says (DNNL_DEFAULT_FPMATH_MODE);
 * ADD keeps what C holds. */
static dnnl_status_t make_attributes(const library *l, peft_dnnl_form form, dnnl_primitive_attr_t *attributes)
{
    dnnl_post_ops_t sum = NULL;
    dnnl_status_t code = l->primitive_attr_create(attributes);
    if (!code) code = l->primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (!code) code = l->primitive_attr_set_fpmath_mode(*attributes, dnnl_fpmath_mode_strict);
    if (code || form != PEFT_DNNL_ADD) return code;
    code = l->post_ops_create(&sum);
    if (!code) code = l->post_ops_append_sum(sum, 1);
    if (!code) code = l->primitive_attr_set_post_ops(*attributes, sum);
    if (sum) l->post_ops_destroy(sum);
    return code;
}

static dnnl_status_t plain(const library *l, dnnl_memory_desc_t *desc, int64_t rows, int64_t columns,
                           dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    const dnnl_dims_t sizes = {rows, columns};
    return l->memory_desc_init_by_tag(desc, 2, sizes, type, tag);
}

/* What the arguments of a product look like, by ARGUMENT_... */
typedef dnnl_memory_desc_t descriptions[NUM_ARGUMENTS];

static dnnl_status_t describe(const peft_dnnl *d, const family *f, int64_t rows, peft_dnnl_form form, descriptions args,
                              dnnl_primitive_desc_t *made)
{
    const library *l = &d->l;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t code = plain(l, &args[ARGUMENT_A], rows, f->k, d->type, dnnl_ab);
    if (!code) code = plain(l, &args[ARGUMENT_C], rows, f->n, dnnl_f32, dnnl_ab);
    if (!code) code = plain(l, &args[ARGUMENT_BIAS], 1, f->n, dnnl_f32, dnnl_ab);
    args[ARGUMENT_B] = f->packed;
    if (!code)
        code = l->matmul_desc_init(&matmul, &args[ARGUMENT_A], &args[ARGUMENT_B],
                                   form == PEFT_DNNL_BIAS ? &args[ARGUMENT_BIAS] : NULL, &args[ARGUMENT_C]);
    if (!code) code = make_attributes(l, form, &attributes);
    if (!code) code = l->primitive_desc_create(made, &matmul, attributes, d->engine, NULL);
    if (!code) args[ARGUMENT_SCRATCH] = *l->primitive_desc_query_md(*made, dnnl_query_scratchpad_md, 0);
    if (attributes) l->primitive_attr_destroy(attributes);
    return code;
}

static dnnl_status_t make_memories(const peft_dnnl *d, const descriptions args, product *p)
{
    p->memories = calloc((size_t)d->threads * NUM_ARGUMENTS, sizeof *p->memories);
    if (!p->memories) return dnnl_out_of_memory;
    dnnl_status_t code = dnnl_success;
    for (int k = 0; !code && k < d->threads * NUM_ARGUMENTS; k++)
        if (k % NUM_ARGUMENTS != ARGUMENT_B)
            code = d->l.memory_create(&p->memories[k], &args[k % NUM_ARGUMENTS], d->engine, DNNL_MEMORY_NONE);
    return code;
}

static int64_t index_of(int64_t height)
{
    int64_t units = height / PEFT_DNNL_UNIT;
    return (units ? PEFT_DNNL_UNIT - 1 + units : height) - 1;
}

static dnnl_status_t make_product(const peft_dnnl *d, const family *f, peft_dnnl_form form, int64_t rows, product *p)
{
    descriptions args;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t code = has_room() ? describe(d, f, rows, form, args, &desc) : dnnl_out_of_memory;
    if (!code) code = make_memories(d, args, p);
    if (!code) p->scratch_bytes = d->l.memory_desc_get_size(&args[ARGUMENT_SCRATCH]);
    if (!code) code = d->l.primitive_create(&p->primitive, desc);
    if (desc) d->l.primitive_desc_destroy(desc);
    return code;
}

/* The order of B that suits the greatest height. */
static dnnl_status_t choose_packed(const peft_dnnl *d, family *f)
{
    descriptions args;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t code =
        has_room() ? plain(&d->l, &f->packed, f->k, f->n, d->type, dnnl_format_tag_any) : dnnl_out_of_memory;
    if (!code) code = describe(d, f, PEFT_DNNL_MOST, PEFT_DNNL_SET, args, &desc);
    if (!code) f->packed = *d->l.primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    if (desc) d->l.primitive_desc_destroy(desc);
    return code;
}

static peft_status get_family(peft_dnnl *d, int64_t k, int64_t n, family **found, peft_error *error)
{
    for (family *f = d->families; f; f = f->next)
        if (f->k == k && f->n == n) {
            *found = f;
            return PEFT_OK;
        }
    family *f = calloc(1, sizeof *f);
    if (!f) return peft_fail(error, PEFT_ERR_MEMORY, "oneDNN: out of memory");
    f->k = k;
    f->n = n;
    dnnl_status_t code = choose_packed(d, f);
    if (code) {
        free(f);
        return fail(code, "a matrix product", error);
    }
    f->next = d->families;
    d->families = f;
    *found = f;
    return PEFT_OK;
}

/* ---- packed matrices ---- */

enum { ALIGNMENT = 64 };

/* What brings numbers from one order into another. */
static dnnl_status_t make_reorder(const peft_dnnl *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                                  dnnl_primitive_t *reorder)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t code = has_room() ? d->l.reorder_primitive_desc_create(&desc, from, d->engine, to, d->engine, NULL)
                                    : dnnl_out_of_memory;
    if (!code) code = d->l.primitive_create(reorder, desc);
    if (desc) d->l.primitive_desc_destroy(desc);
    return code;
}

static dnnl_status_t run_reorder(const peft_dnnl *d, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to,
                                 int thread)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_status_t code = d->l.primitive_execute(reorder, d->streams[thread], 2, args);
    return code ? code : d->l.stream_wait(d->streams[thread]);
}

/* Where the numbers of a matrix come from: the caller's, or, turned, a packed one. The other is NULL. */
typedef struct origin {
    const peft_dnnl_source *source;
    const peft_dnnl_matrix *turned;
} origin;

static dnnl_status_t copy_into(const peft_dnnl *d, const peft_dnnl_matrix *m, const origin *o)
{
    const library *l = &d->l;
    const dnnl_dims_t sizes = {m->family->k, m->family->n}, strides = {o->source->row, o->source->column};
    dnnl_memory_desc_t from;
    dnnl_memory_t source = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t code = l->memory_desc_init_by_strides(&from, 2, sizes, type_of(o->source->dtype), strides);
    if (!code) code = l->memory_create(&source, &from, d->engine, (void *)(uintptr_t)o->source->data); /* only read */
    if (!code) code = make_reorder(d, &from, &m->family->packed, &reorder);
    if (!code) code = run_reorder(d, reorder, source, m->memory, 0);
    if (reorder) l->primitive_destroy(reorder);
    if (source) l->memory_destroy(source);
    return code;
}

static dnnl_status_t prepare_turn(const peft_dnnl *d, peft_dnnl_matrix *m, const origin *o)
{
    const int other[] = {1, 0};
    dnnl_memory_desc_t from;
    m->from = o->turned;
    dnnl_status_t code = d->l.memory_desc_permute_axes(&from, &m->from->family->packed, other);
    return code ? code : make_reorder(d, &from, &m->family->packed, &m->turn);
}

static peft_status fill(peft_dnnl *d, peft_dnnl_matrix *m, const origin *o, peft_error *error)
{
    m->bytes = (d->l.memory_desc_get_size(&m->family->packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    m->data = o->turned ? NULL : aligned_alloc(ALIGNMENT, m->bytes);
    if (!o->turned && !m->data)
        return peft_fail(error, PEFT_ERR_MEMORY, "oneDNN: out of memory for %zu bytes of a weight", m->bytes);
    void *place = o->turned ? DNNL_MEMORY_NONE : m->data;
    dnnl_status_t code = d->l.memory_create(&m->memory, &m->family->packed, d->engine, place);
    if (!code) code = o->turned ? prepare_turn(d, m, o) : copy_into(d, m, o);
    return code ? fail(code, "packing a weight", error) : PEFT_OK;
}

static peft_status make_matrix(peft_dnnl *d, int64_t k, int64_t n, const origin *o, peft_dnnl_matrix **matrix,
                               peft_error *error)
{
    *matrix = NULL;
    peft_dnnl_matrix *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "oneDNN: out of memory");
    made->owner = d;
    atomic_flag_clear(&made->turning);
    int before = begin_alone(&d->l);
    peft_status status = get_family(d, k, n, &made->family, error);
    if (status == PEFT_OK) status = fill(d, made, o, error);
    end_alone(&d->l, before);
    if (status != PEFT_OK) {
        peft_dnnl_matrix_free(made);
        return status;
    }
    *matrix = made;
    return PEFT_OK;
}

peft_status peft_dnnl_pack(peft_dnnl *d, int64_t k, int64_t n, const peft_dnnl_source *source,
                           peft_dnnl_matrix **matrix, peft_error *error)
{
    const origin o = {.source = source};
    return make_matrix(d, k, n, &o, matrix, error);
}

peft_status peft_dnnl_pack_turned(peft_dnnl *d, const peft_dnnl_matrix *from, peft_dnnl_matrix **matrix,
                                  peft_error *error)
{
    const origin o = {.turned = from};
    return make_matrix(d, from->family->n, from->family->k, &o, matrix, error);
}

bool peft_dnnl_turn(peft_dnnl_matrix *matrix, void *memory, int thread)
{
    const peft_dnnl *d = matrix->owner;
    while (atomic_flag_test_and_set(&matrix->turning)) sched_yield();
    int before = begin_alone(&d->l);
    dnnl_status_t code = d->l.memory_set_data_handle(matrix->memory, memory);
    if (!code) code = run_reorder(d, matrix->turn, matrix->from->memory, matrix->memory, thread);
    end_alone(&d->l, before);
    atomic_flag_clear(&matrix->turning);
    return code == dnnl_success;
}

void peft_dnnl_matrix_free(peft_dnnl_matrix *matrix)
{
    if (!matrix) return;
    if (matrix->turn) matrix->owner->l.primitive_destroy(matrix->turn);
    if (matrix->memory) matrix->owner->l.memory_destroy(matrix->memory);
    free(matrix->data);
    free(matrix);
}

const peft_dnnl *peft_dnnl_matrix_owner(const peft_dnnl_matrix *matrix)
{
    return matrix->owner;
}

size_t peft_dnnl_matrix_bytes(const peft_dnnl_matrix *matrix)
{
    return matrix->bytes;
}

/* ---- a product ---- */

void peft_dnnl_expect(peft_dnnl *d, int64_t height)
{
    d->expected[index_of(height)] = height;
}

size_t peft_dnnl_prepare(const peft_dnnl_matrix *matrix, peft_dnnl_form form)
{
    const peft_dnnl *d = matrix->owner;
    size_t scratch_bytes = 0;
    int before = begin_alone(&d->l);
    for (int64_t k = 0; k < NUM_HEIGHTS; k++) {
        product *p = &matrix->family->products[k][form];
        bool missing = d->expected[k] && !p->primitive;
        if (missing && make_product(d, matrix->family, form, d->expected[k], p)) free_product(d, p);
        if (p->scratch_bytes > scratch_bytes) scratch_bytes = p->scratch_bytes;
    }
    end_alone(&d->l, before);
    return scratch_bytes;
}

bool peft_dnnl_product(const peft_dnnl_matrix *b, const peft_dnnl_call *call)
{
    const peft_dnnl *d = b->owner;
    const product *p = &b->family->products[index_of(call->rows)][call->form];
    if (!p->primitive) return false;
    const dnnl_memory_t *own = p->memories + call->thread * NUM_ARGUMENTS;
    const void *const places[NUM_ARGUMENTS] = {[ARGUMENT_A] = call->a,
                                               [ARGUMENT_C] = call->c,
                                               [ARGUMENT_SCRATCH] = call->scratch,
                                               [ARGUMENT_BIAS] = call->bias};
    dnnl_exec_arg_t args[NUM_ARGUMENTS];
    int count = call->form == PEFT_DNNL_BIAS ? NUM_ARGUMENTS : ARGUMENT_BIAS;
    dnnl_status_t code = dnnl_success;
    for (int k = 0; k < count; k++) {
        args[k] = (dnnl_exec_arg_t){argument_names[k], k == ARGUMENT_B ? b->memory : own[k]};
        if (!code && k != ARGUMENT_B)
            code = d->l.memory_set_data_handle(own[k], (void *)(uintptr_t)places[k]); /* A and bias are only read */
    }
    int before = begin_alone(&d->l);
    if (!code) code = d->l.primitive_execute(p->primitive, d->streams[call->thread], count, args);
    if (!code) code = d->l.stream_wait(d->streams[call->thread]);
    end_alone(&d->l, before);
    return code == dnnl_success;
}
