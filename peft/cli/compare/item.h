/* peft/cli/compare/item.h - one of the things compared: a variant with options of its own, as in
 * `lora:rank=8:alpha=16`. */
#ifndef PEFT_CLI_COMPARE_ITEM_H
#define PEFT_CLI_COMPARE_ITEM_H

#include "io/option.h"

typedef struct peft_compare_item {
    char *text;    /* as it was given: the name that tables show */
    char *variant; /* "lora" */
    char *label;   /* "lora-rank-8-alpha-16": the name of its folder */
    json_t *own;   /* object: the settings that it names itself */
    json_t *all;   /* object: those in place among the others */
} peft_compare_item;

/* Bytes of the variant's name at the start of an item's text. */
size_t peft_compare_item_name_bytes(const char *text);

/* Reads an item. sets[0..count) are the tables that its options may come from, each with the values that hold where
 * the item says nothing; they stay as they are. PEFT_ERR_ARGUMENT: an option that no table has (with the nearest one),
 * a value that its table forbids, a piece without `=`. Release with peft_compare_item_free, which takes a zeroed one
 * too. */
peft_status peft_compare_item_parse(peft_compare_item *item, const char *text, const peft_option_set *sets,
                                    size_t count, peft_error *error);
void peft_compare_item_free(peft_compare_item *item);

#endif
