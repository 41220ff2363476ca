/* peft/cli/compare/yardsticks.h - what every method should be seen beside: the head alone, all weights, and LoRA. */
#ifndef PEFT_CLI_COMPARE_YARDSTICKS_H
#define PEFT_CLI_COMPARE_YARDSTICKS_H

#include "peft/cli/arguments.h"

enum { PEFT_NUM_COMPARE_YARDSTICKS = 3 };
extern const char *const peft_compare_yardsticks[PEFT_NUM_COMPARE_YARDSTICKS];

/* The options of one that the comparison does not name itself: its defaults, with the rank, alpha and dropout that were
 * given to all. Release with peft_yardstick_close. */
peft_status peft_yardstick_open(const peft_arguments *arguments, const char *name, peft_option_set *set,
                                peft_error *error);
void peft_yardstick_close(peft_option_set *set);

#endif
