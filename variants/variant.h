/* variants/variant.h - what a method of the LoRA family provides (docs/adding-a-variant.md).
 *
 * A variant is a table of data and a few functions. Its parameters are declared once, as data; from that one list come
 * allocation, start values, files, counts, optimiser groups, and what a generator has to emit. Its options are
 * declared as data too and become JSON fields, flags, help and documentation. */
#ifndef PEFT_VARIANTS_VARIANT_H
#define PEFT_VARIANTS_VARIANT_H

#include "io/option.h"
#include "io/value_set.h"
#include "ops/batch.h"
#include "ops/weight.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_variant peft_variant;
typedef struct peft_adapter peft_adapter;   /* of one linear layer */
typedef struct peft_adapters peft_adapters; /* of all adapted layers of a model */

enum { PEFT_MAX_RANK = 65536 };

/* Options that most variants have; every variant's own struct begins with them. A variant without ranks leaves them
 * out of its table. */
typedef struct peft_common_options {
    int64_t rank;
    double alpha, dropout;
    json_t *rank_pattern, *alpha_pattern; /* objects: pattern of module names -> value; the first that matches counts */
} peft_common_options;

/* Rows of option tables for them, one by one and those that most variants have. `options` is the variant's struct,
 * which starts with a peft_common_options. */
/* clang-format off */
#define PEFT_RANK_OPTION_ROW(rank_text)                                                                                \
    {.name = "rank",                                                                                                   \
     .elsewhere = "r", \
     .type = PEFT_OPTION_INT,                                                                                          \
     .offset = offsetof(peft_common_options, rank),                                                                    \
     .initial = (rank_text),                                                                                           \
     .min = 1,                                                                                                         \
     .max = PEFT_MAX_RANK,                                                                                             \
     .placeholder = "N",                                                                                               \
     .help = "rank of the update",                                                                                     \
     .group = "Adapter"}

#define PEFT_ALPHA_OPTION_ROW(alpha_text)                                                                              \
    {.name = "alpha",                                                                                                  \
     .elsewhere = "lora_alpha", \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_common_options, alpha),                                                                   \
     .initial = (alpha_text),                                                                                          \
     .placeholder = "X",                                                                                               \
     .help = "scale of the update before it is divided by the rank",                                                   \
     .group = "Adapter"}

#define PEFT_DROPOUT_OPTION_ROW                                                                                        \
    {.name = "dropout",                                                                                                \
     .elsewhere = "lora_dropout", \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_common_options, dropout),                                                                 \
     .initial = "0",                                                                                                   \
     .max = 1,                                                                                                         \
     .placeholder = "X",                                                                                               \
     .help = "dropout on the adapter's input while training, below 1",                                                          \
     .group = "Adapter"}

#define PEFT_PATTERN_OPTION_ROWS                                                                                       \
    {.name = "rank_pattern",                                                                                           \
     .type = PEFT_OPTION_JSON,                                                                                         \
     .offset = offsetof(peft_common_options, rank_pattern),                                                            \
     .placeholder = "JSON",                                                                                            \
     .help = "ranks of modules whose names match a pattern, as {\"pattern\": rank}",                                   \
     .group = "Adapter"},                                                                                              \
    {.name = "alpha_pattern",                                                                                          \
     .type = PEFT_OPTION_JSON,                                                                                         \
     .offset = offsetof(peft_common_options, alpha_pattern),                                                           \
     .placeholder = "JSON",                                                                                            \
     .help = "alphas of such modules, as {\"pattern\": alpha}",                                                        \
     .group = "Adapter"}

#define PEFT_RANK_OPTION_ROWS(rank_text, alpha_text)                                                                   \
    PEFT_RANK_OPTION_ROW(rank_text), PEFT_ALPHA_OPTION_ROW(alpha_text), PEFT_DROPOUT_OPTION_ROW

#define PEFT_COMMON_OPTION_ROWS(rank_text, alpha_text)                                                                 \
    PEFT_RANK_OPTION_ROWS(rank_text, alpha_text), PEFT_PATTERN_OPTION_ROWS
/* clang-format on */

enum { PEFT_MAX_VALUES = 16 }; /* of one layer, and of those for all layers */

struct peft_adapter {
    const peft_adapters *all;
    const char *module; /* "bert.encoder.layer.0.attention.self.query" */
    int64_t in_features, out_features;
    int64_t rank;
    double alpha, scaling; /* after the patterns; scaling as the variant says */
    int64_t num_experts;   /* set by `arrange` of a mixture; else 0 */
    bool scales_input;     /* set by `arrange` of IA3: the vector acts before W, not behind it */
    int32_t num_values;
    peft_value values[PEFT_MAX_VALUES];
    uint64_t dropout_stream;
};

struct peft_adapters {
    const peft_variant *variant;
    void *options; /* the variant's own struct */
    peft_adapter *layers;
    int64_t num_layers;
    bool from_file; /* their layers are those of a file: names in the options that match none are no error */
    int32_t num_values;
    peft_value values[PEFT_MAX_VALUES]; /* one for all layers: VeRA's projections, MoR1E's centroids */
    peft_value_set set;                 /* all values: of the layers in their order, then those for all layers */
};

/* What start values may ask about the layers at work on training data (peft/calibrate.h), and what was seen of one. */
typedef enum peft_trace_kind { PEFT_TRACE_NOTHING, PEFT_TRACE_INPUTS, PEFT_TRACE_GRADIENT } peft_trace_kind;

typedef struct peft_trace_wish {
    peft_trace_kind kind;
    int64_t batches; /* to look at */
    double widening; /* above 1: ranks are handed out anew by what directions are worth, up to so many times a layer's
                        own */
} peft_trace_wish;

typedef struct peft_trace {
    int64_t tokens;
    double *sum;     /* of the inputs x: [in] */
    double *moments; /* of x x^T: [in, in] */
    float *gradient; /* of the mean loss with respect to the weight: [out, in] */
} peft_trace;

/* A plain LoRA with the same update: W + scaling B A. Its memory is the caller's (free). The rank is 0 where nothing of
 * an update is left. */
typedef struct peft_lora_factors {
    int64_t rank;
    double scaling;
    float *A; /* [rank, in] */
    float *B; /* [out, rank] */
} peft_lora_factors;

/* Takes a text that the user should know and that is no error. */
typedef void peft_note_function(void *argument, const char *text);

/* How an option is written in adapter_config.json, where that is not its own name and JSON value. */
typedef struct peft_json_name {
    const char *option, *json; /* json NULL: concerns training alone, and is no field */
    const char *initial; /* optional, as JSON: what a missing key means where that is not the option's default, and what
                            is written for an option that is not set */
    const struct peft_json_value {
        const char *text, *json;
    } * values;         /* optional: the option's text and what stands for it in JSON; ends with {0} */
    const char *advice; /* optional: a value that is none of them is refused with this text, else it is noted */
} peft_json_name;

/* Fields of adapter_config.json that are known but are no options. All are written with `initial`. */
typedef enum peft_field_rule {
    PEFT_FIELD_REFUSE, /* another value changes the maths, and is refused */
    PEFT_FIELD_IGNORE, /* another value concerns start values, training or other programs only */
    PEFT_FIELD_NOTE    /* another value means nothing on linear layers, as in PEFT, which warns of it */
} peft_field_rule;

typedef struct peft_json_field {
    const char *json, *initial; /* key and default, both as in JSON */
    peft_field_rule rule;
} peft_json_field;

/* NULL marks an optional entry. */
struct peft_variant {
    const char *name;       /* "lora": file, command line and registry use this word */
    const char *equation;   /* "y = W x + b + (alpha / r) B A x" */
    const char *source;     /* "Hu et al. 2021, arXiv 2106.09685, eq. (3)" */
    const char *summary;    /* one line for `peft variants` */
    const char *peft_type;  /* of adapter_config.json */
    const char *peft_flag;  /* optional: the boolean in it that tells this variant from others of its type */
    const char *own_format; /* optional: "1", the version of our form of its files, where PEFT has no such method */
    size_t options_bytes;
    const peft_option *options;
    const peft_json_name *json_names;   /* optional; ends with {0} */
    const peft_json_field *json_fields; /* optional; ends with {0} */
    const char *const *absent_fields;   /* optional; ends with NULL: of bias, its value lora_only, exclude_modules,
                                           layers_pattern and layers_to_transform what PEFT's files of this type do not
                                           have */

    /* Optional: sets those of json_fields in `root` whose value depends on the options; false: out of memory. */
    bool (*write_fields)(const void *options, json_t *root);

    /* Optional: what the limits of single options cannot say. */
    peft_status (*check)(const void *options, peft_error *error);

    /* Optional: the rank of a layer, where rank and rank_pattern do not say it. */
    peft_status (*layer_rank)(const peft_adapters *all, const char *module, int64_t *rank, peft_error *error);

    /* Optional: called when all layers are known by name, sizes, rank and alpha, before their values are. Sets
     * what the layers differ in (num_experts, scales_input), and refuses settings that name layers in vain. */
    peft_status (*arrange)(peft_adapters *all, peft_error *error);

    /* Optional: what is worth knowing about these adapters before they are trained, each in one sentence. */
    void (*notes)(const peft_adapters *all, peft_note_function *note, void *argument);

    /* The factor of the update, from the layer's rank and alpha. */
    double (*scaling)(const peft_adapter *adapter);

    /* The tensors of one layer, from what is set of it and its options: writes at most PEFT_MAX_VALUES specs and
     * returns their number. A function of these alone. */
    int32_t (*layer_values)(const peft_adapter *adapter, peft_value_spec *specs);
    /* Optional: those of the model, which may depend on all adapted layers. */
    int32_t (*model_values)(const peft_adapters *all, peft_value_spec *specs);
    /* Optional: start values that no table can say, of the layers or the model, after those of the tables were drawn.
     */
    void (*draw)(peft_adapters *all);

    /* Optional: start values from vectors of the training sequences (peft_adapters_fit); and how many numbers these are
     * to have, 0 where none are wanted. */
    peft_status (*fit)(peft_adapters *all, const float *vectors, int64_t count, uint64_t seed, peft_error *error);
    int64_t (*fit_size)(const peft_adapters *all);

    /* Output of the adapted layer, base and adapter together, from its input x [T, in] -> [T, out]. May add named
     * losses and observations to the graph (ops/side.h). */
    peft_tensor *(*forward)(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch);
    /* It also takes all of a layer's values for each sequence (peft_value_starts), as grouped products, with the sum
     * over the sequences of what each adds to the loss. Where it does not, it is called for one sequence after another
     * if these have adapters of their own. */
    bool grouped;
    /* A token's output depends on its own input alone, and no loss or observation is made of tokens: the model may
     * leave out those whose output nobody reads. */
    bool by_token;
    /* Optional, for a layer y = V x + b that adds no loss or observation: V [out, in], for who computes something else
     * with it than y. It is not called while dropout acts, nor where sequences have adapters of their own. */
    peft_tensor *(*weight)(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                           const peft_batch *batch);

    /* Optional: start values that depend on the base weight or that one distribution cannot say. */
    peft_status (*init)(peft_adapter *adapter, const peft_base_linear *base, uint64_t seed, peft_error *error);

    /* Optional: start values that depend on a layer's work on the training data: what these want to see of it, and how
     * they are set from that. Where ranks are handed out anew, worth [rank] says of the directions, best first, what
     * part of the layer's input each explains. */
    peft_trace_wish (*trace_wish)(const peft_adapters *all);
    peft_status (*init_from_trace)(peft_adapter *adapter, const peft_base_linear *base, const peft_trace *trace,
                                   double *worth, peft_error *error);

    /* Optional: can they be trained for so many steps? Options that were left to the run are settled here.
     * PEFT_ERR_ARGUMENT: not by these options. */
    peft_status (*check_steps)(const peft_adapters *all, int64_t num_steps, peft_error *error);

    /* Optional: after the optimiser's update, for all adapters at once, with the clipped gradients still there. */
    peft_status (*after_step)(peft_adapters *all, const peft_training_step *step, peft_error *error);

    /* Optional: the adapters that files hold where those are others than what trains, pruned directions left out or
     * what was subtracted from the base folded in: *compact has the same outputs and is the caller's
     * (peft_adapters_free); NULL: they are the same. */
    peft_status (*compact)(const peft_adapters *all, peft_adapters **compact, peft_error *error);

    /* Optional: plain LoRA factors with the same update; NULL where the update depends on the input. Merging is done
     * from these unless `merge` is given. */
    peft_status (*to_lora)(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error);

    /* Optional: one expert of a mixture as plain LoRA factors; a layer has num_experts of them. */
    peft_status (*expert_to_lora)(const peft_adapter *adapter, int64_t expert, peft_lora_factors *factors,
                                  peft_error *error);

    /* Optional: what is not a sum W + B A. weight [out, in], bias [out] or NULL, changed in place. */
    peft_status (*merge)(const peft_adapter *adapter, float *weight, float *bias, peft_error *error);
};

#ifdef __cplusplus
}
#endif
#endif
