/* variants/registry.c - the variants of this build, from the list in variants/meson.build. */
#include <string.h>

#include "ops/nearest.h"
#include "variants/adapter.h"

#define X(name) extern const peft_variant peft_variant_##name;
#include "variants/variants.inc"
#undef X

static const peft_variant *const registry[] = {
#define X(name) &peft_variant_##name,
#include "variants/variants.inc"
#undef X
};

enum { NUM_VARIANTS = sizeof registry / sizeof *registry };

const peft_variant *peft_variant_at(size_t index)
{
    return index < NUM_VARIANTS ? registry[index] : NULL;
}

/* The names stand in tables of their own, so a list of them is made on the spot. */
static peft_names list_names(const char *names[NUM_VARIANTS])
{
    for (size_t i = 0; i < NUM_VARIANTS; i++) names[i] = registry[i]->name;
    return (peft_names){names, NUM_VARIANTS, sizeof *names};
}

const peft_variant *peft_variant_find(const char *name)
{
    const char *list[NUM_VARIANTS];
    peft_names names = list_names(list);
    return peft_variant_at(peft_names_find(&names, name));
}

bool peft_variant_lacks(const peft_variant *variant, const char *field)
{
    for (const char *const *absent = variant ? variant->absent_fields : NULL; absent && *absent; absent++)
        if (strcmp(*absent, field) == 0) return true;
    return false;
}

peft_status peft_variant_get(const char *name, const peft_variant **variant, peft_error *error)
{
    const char *list[NUM_VARIANTS];
    peft_names names = list_names(list);
    *variant = peft_variant_find(name);
    return *variant ? PEFT_OK : peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "variant", name, &names);
}

peft_status peft_variant_options_init(const peft_variant *variant, void *options, peft_error *error)
{
    memset(options, 0, variant->options_bytes);
    return peft_options_init(variant->options, options, error);
}
