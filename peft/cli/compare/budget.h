/* peft/cli/compare/budget.h - variants of equal size: each gets as many trained parameters as a budget allows. */
#ifndef PEFT_CLI_COMPARE_BUDGET_H
#define PEFT_CLI_COMPARE_BUDGET_H

#include "peft/cli/compare/item.h"
#include "variants/variant.h"

/* What a budget is spent on. The sets are those of peft_compare_item_parse for the variant, which is NULL where there
 * is no adapter. */
typedef struct peft_budget {
    const char *model;   /* folder */
    const json_t *share; /* "0.1%" of the model's parameters, or a number of them; the head does not count */
    const peft_option_set *sets;
    size_t num_sets;
    const peft_variant *variant;
} peft_budget;

/* Is it a positive number, or a text such as "0.1%"? */
bool peft_budget_is_valid(const json_t *share);

/* Gives the item's size options that it does not name itself (rank; k; r1 and r2; num_experts without a rank) the
 * largest value with which the adapter is within the budget, and up to 1024: "lora" becomes "lora:rank=5". An item
 * without such options stays as it is.
 *
 * PEFT_ERR_ARGUMENT: the smallest size is above the budget. Errors of the model, of items, and PEFT_ERR_MEMORY. */
peft_status peft_budget_spend(const peft_budget *budget, peft_compare_item *item, peft_error *error);

#endif
