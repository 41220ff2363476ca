#include "models/unicode.h"

#include <string.h>
#include <utf8proc.h>

size_t peft_utf8_check(const char *text, size_t bytes)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text, *end = at + bytes;
    while (at < end) {
        if (*at < 0x80) {
            at++;
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t length = utf8proc_iterate(at, end - at, &c);
        if (length < 0) break;
        at += length;
    }
    return bytes - (size_t)(end - at);
}

static const uint8_t class_of_category[] = {
    [UTF8PROC_CATEGORY_MN] = PEFT_CHAR_MARK,        [UTF8PROC_CATEGORY_PC] = PEFT_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PD] = PEFT_CHAR_PUNCTUATION, [UTF8PROC_CATEGORY_PS] = PEFT_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PE] = PEFT_CHAR_PUNCTUATION, [UTF8PROC_CATEGORY_PI] = PEFT_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PF] = PEFT_CHAR_PUNCTUATION, [UTF8PROC_CATEGORY_PO] = PEFT_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_ZS] = PEFT_CHAR_SPACE,       [UTF8PROC_CATEGORY_ZL] = PEFT_CHAR_SPACE,
    [UTF8PROC_CATEGORY_ZP] = PEFT_CHAR_SPACE,       [UTF8PROC_CATEGORY_CC] = PEFT_CHAR_CONTROL,
    [UTF8PROC_CATEGORY_CF] = PEFT_CHAR_CONTROL,     [UTF8PROC_CATEGORY_CO] = PEFT_CHAR_CONTROL,
};

/* Where the category does not decide. The reference (crate unicode_categories 0.1) knows Unicode 8, and models were
 * trained on its words, so what came later as P*, Mn or Cf is a letter (0), and three characters keep the category they
 * had. A range may span others that are letters anyway. Sorted. */
static const struct override {
    int32_t first, last;
    uint8_t class;
} overrides[] = {
    {'\t', '\n', PEFT_CHAR_SPACE},
    {'\v', '\f', PEFT_CHAR_SPACE | PEFT_CHAR_CONTROL},
    {'\r', '\r', PEFT_CHAR_SPACE},
    {'$', '$', PEFT_CHAR_PUNCTUATION},
    {'+', '+', PEFT_CHAR_PUNCTUATION},
    {'<', '>', PEFT_CHAR_PUNCTUATION},
    {'^', '^', PEFT_CHAR_PUNCTUATION},
    {'`', '`', PEFT_CHAR_PUNCTUATION},
    {'|', '|', PEFT_CHAR_PUNCTUATION},
    {'~', '~', PEFT_CHAR_PUNCTUATION},
    {0x85, 0x85, PEFT_CHAR_SPACE | PEFT_CHAR_CONTROL},
    /* clang-format off */
    {0x61D, 0x61D, 0}, {0x7FD, 0x7FD, 0}, {0x890, 0x8E2, 0}, {0x9FD, 0x9FE, 0}, {0xA76, 0xA76, 0}, {0xAFA, 0xAFF, 0},
    {0xB55, 0xB55, 0}, {0xC04, 0xC3C, 0}, {0xC77, 0xC77, 0}, {0xC84, 0xC84, 0}, {0xD00, 0xD00, 0}, {0xD3B, 0xD3C, 0},
    {0xD81, 0xD81, 0}, {0xEBA, 0xEBA, 0}, {0xECE, 0xECE, 0}, {0x166D, 0x166D, PEFT_CHAR_PUNCTUATION},
    {0x1734, 0x1734, PEFT_CHAR_MARK}, {0x180F, 0x1886, 0}, {0x1ABF, 0x1ACE, 0}, {0x1B7D, 0x1B7E, 0},
    {0x1DF6, 0x1DFB, 0}, {0x2E43, 0x2E5D, 0}, {0xA82C, 0xA82C, 0}, {0xA8C5, 0xA8C5, 0}, {0xA8FF, 0xA8FF, 0},
    {0xA9BD, 0xA9BD, 0}, {0xFFFD, 0xFFFD, PEFT_CHAR_CONTROL}, {0x10D24, 0x10F89, 0}, {0x11070, 0x11074, 0},
    {0x110C2, 0x110CD, 0}, {0x111C9, 0x111C9, PEFT_CHAR_PUNCTUATION}, {0x111CF, 0x111CF, 0}, {0x1123E, 0x11241, 0},
    {0x1133B, 0x1133B, 0}, {0x11438, 0x1145E, 0}, {0x11660, 0x1166C, 0}, {0x116B9, 0x116B9, 0}, {0x1182F, 0x11FFF, 0},
    {0x12FF1, 0x13455, 0}, {0x16E97, 0x16F4F, 0}, {0x16FE2, 0x16FE4, 0}, {0x1CF00, 0x1CF46, 0}, {0x1E000, 0x1E4EF, 0},
    {0x1E944, 0x1E95F, 0},
    /* clang-format on */
};

unsigned peft_char_class(int32_t c)
{
    size_t low = 0, high = sizeof overrides / sizeof overrides[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > overrides[middle].last)
            low = middle + 1;
        else if (c < overrides[middle].first)
            high = middle;
        else
            return overrides[middle].class;
    }
    size_t category = (size_t)utf8proc_category(c);
    return category < sizeof class_of_category ? class_of_category[category] : 0;
}

bool peft_char_is_word(int32_t c)
{
    static const bool of_category[] = {
        [UTF8PROC_CATEGORY_LU] = true, [UTF8PROC_CATEGORY_LL] = true, [UTF8PROC_CATEGORY_LT] = true,
        [UTF8PROC_CATEGORY_LM] = true, [UTF8PROC_CATEGORY_LO] = true, [UTF8PROC_CATEGORY_MN] = true,
        [UTF8PROC_CATEGORY_MC] = true, [UTF8PROC_CATEGORY_ME] = true, [UTF8PROC_CATEGORY_ND] = true,
        [UTF8PROC_CATEGORY_NL] = true, [UTF8PROC_CATEGORY_PC] = true,
    };
    /* Joiners, and letters in circles and squares, which are alphabetic. */
    static const int32_t others[][2] = {
        {0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    size_t category = (size_t)utf8proc_category(c);
    if (category < sizeof of_category && of_category[category]) return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (c >= others[i][0] && c <= others[i][1]) return true;
    return false;
}

bool peft_char_is_ideograph(int32_t c)
{
    /* The blocks as the reference has them; U+2B820 to U+2B91F of extension E are left out there. */
    static const int32_t blocks[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                                        {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (c >= blocks[i][0] && c <= blocks[i][1]) return true;
    return false;
}

size_t peft_char_decompose(int32_t c, int32_t decomposed[PEFT_CHAR_MAX_DECOMPOSED])
{
    int boundary = 0;
    utf8proc_ssize_t count =
        utf8proc_decompose_char(c, decomposed, PEFT_CHAR_MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &boundary);
    if (count >= 1 && count <= PEFT_CHAR_MAX_DECOMPOSED) return (size_t)count;
    decomposed[0] = c;
    return 1;
}

size_t peft_char_lower(int32_t c, int32_t lower[PEFT_CHAR_MAX_LOWER])
{
    /* U+0130 is the one character whose lower case is two: i and a dot above. */
    bool dotted = c == 0x130;
    lower[0] = dotted ? 'i' : utf8proc_tolower(c);
    lower[1] = dotted ? 0x307 : 0;
    return dotted ? 2 : 1;
}
