/* variants/variant_check.c - is the table of a variant whole? What is missing or contradicts itself is said by name
 * when adapters are made, instead of showing much later in what they do. */
#include <string.h>

#include "variants/adapter.h"

/* The types of PEFT 0.21: files that have one are PEFT's. */
static const char *const peft_types[] = {"ADALORA",
                                         "ADAMSS",
                                         "ADAPTION_PROMPT",
                                         "BEFT",
                                         "BOFT",
                                         "C3A",
                                         "CARTRIDGE",
                                         "CPT",
                                         "DEFT",
                                         "DELORA",
                                         "FOURIERFT",
                                         "FROD",
                                         "GLORA",
                                         "GRALORA",
                                         "HIRA",
                                         "HRA",
                                         "IA3",
                                         "LILY",
                                         "LN_TUNING",
                                         "LOHA",
                                         "LOKR",
                                         "LORA",
                                         "MISS",
                                         "MULTITASK_PROMPT_TUNING",
                                         "OFT",
                                         "OSF",
                                         "PEANUT",
                                         "POLY",
                                         "PREFIX_TUNING",
                                         "PROMPT_TUNING",
                                         "PSOFT",
                                         "PVERA",
                                         "P_TUNING",
                                         "RANDLORA",
                                         "ROAD",
                                         "SHADOW",
                                         "SHIRA",
                                         "SUPERTUNING",
                                         "TINYLORA",
                                         "TRAINABLE_TOKENS",
                                         "UNILORA",
                                         "VBLORA",
                                         "VERA",
                                         "WAVEFT",
                                         "XLORA"};

static bool is_peft_type(const char *type)
{
    size_t k = 0, count = sizeof peft_types / sizeof *peft_types;
    while (k < count && strcmp(peft_types[k], type) != 0) k++;
    return k < count;
}

static bool said(const char *text)
{
    return text && *text;
}

static peft_status wrong(const peft_variant *v, const char *field, const char *what, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: %s (docs/adding-a-variant.md)",
                     said(v->name) ? v->name : "a variant", field, what);
}

/* ---- what every table has, and what asks for something else ---- */

static peft_status check_entries(const peft_variant *v, peft_error *error)
{
    const char *missing = "missing; every variant has one", *pair = "missing, though its other half is there";
    const struct {
        const char *field;
        bool right;
        const char *what;
    } rules[] = {
        {"name", said(v->name), missing},
        {"equation", said(v->equation), missing},
        {"source", said(v->source), missing},
        {"summary", said(v->summary), missing},
        {"peft_type", said(v->peft_type), missing},
        {"options", v->options != NULL, missing},
        {"scaling", v->scaling != NULL, missing},
        {"layer_values", v->layer_values != NULL, missing},
        {"forward", v->forward != NULL, missing},
        {"options_bytes", v->options_bytes >= sizeof(peft_common_options),
         "the struct of its options has to begin with a peft_common_options"},
        {"fit", v->fit || !v->fit_size, pair},
        {"fit_size", v->fit_size || !v->fit, pair},
        {"trace_wish", v->trace_wish || !v->init_from_trace, pair},
        {"init_from_trace", v->init_from_trace || !v->trace_wish, pair},
    };
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        if (!rules[k].right) return wrong(v, rules[k].field, rules[k].what, error);
    return PEFT_OK;
}

/* ---- settings ---- */

static peft_status check_options(const peft_variant *v, peft_error *error)
{
    for (const peft_option *o = v->options; o->name; o++)
        if (o->offset >= v->options_bytes) return wrong(v, o->name, "this option lies behind options_bytes", error);
    for (const peft_json_name *n = v->json_names; n && n->option; n++)
        if (!peft_options_find(v->options, n->option))
            return wrong(v, n->option, "json_names has it, but it is no option", error);
    return PEFT_OK;
}

/* ---- files ---- */

static bool equal_flags(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static peft_status check_files(const peft_variant *v, peft_error *error)
{
    const peft_variant *other;
    bool of_peft = is_peft_type(v->peft_type);
    if (!of_peft && !said(v->own_format))
        return wrong(v, "own_format", "missing, though PEFT has no method of this peft_type", error);
    if (of_peft && v->own_format) return wrong(v, "own_format", "PEFT has methods of this peft_type", error);
    if (of_peft && !v->json_names) return wrong(v, "json_names", "missing: what PEFT's files call its options", error);
    for (size_t k = 0; (other = peft_variant_at(k)); k++)
        if (strcmp(other->name, v->name) != 0 && strcmp(other->peft_type, v->peft_type) == 0 &&
            equal_flags(other->peft_flag, v->peft_flag))
            return wrong(v, "peft_type", "another variant has the same, and no peft_flag tells them apart", error);
    return PEFT_OK;
}

peft_status peft_variant_check(const peft_variant *variant, peft_error *error)
{
    peft_status status = check_entries(variant, error);
    if (status == PEFT_OK) status = check_options(variant, error);
    return status == PEFT_OK ? check_files(variant, error) : status;
}
