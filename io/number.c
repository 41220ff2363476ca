#include "io/number.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* In the "C" locale whatever the caller's program has set, so that 0.5 is not read as 0 where the decimal sign is a
 * comma. glibc and musl hand out a built-in object for it: nothing is allocated. */
bool peft_number_read(const char *text, double *value)
{
    *value = 0;
    if (!*text || text[strspn(text, "0123456789+-.eE")]) return false;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale) return false;
    char *end;
    *value = strtod_l(text, &end, c_locale);
    freelocale(c_locale);
    if (end != text && !*end) return true;
    *value = 0;
    return false;
}
