/* io/number.h - a decimal number in a text, whatever the program's locale is. */
#ifndef PEFT_IO_NUMBER_H
#define PEFT_IO_NUMBER_H

#include <stdbool.h>

/* A decimal number and nothing else, with a point: "-1.5e3", "+2", ".5". *value is infinite where it is beyond double's
 * range, and 0 where the text is no number. */
bool peft_number_read(const char *text, double *value);

#endif
