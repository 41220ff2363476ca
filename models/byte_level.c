#include "models/byte_level.h"

#include <stdbool.h>
#include <utf8proc.h>

static bool is_seen(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

size_t peft_byte_letter(uint8_t byte, char letter[PEFT_BYTE_LETTER_BYTES])
{
    int32_t c = byte;
    if (!is_seen(byte)) {
        c = 0x100;
        for (int before = 0; before < byte; before++) c += !is_seen(before);
    }
    return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)letter);
}
