/* The public header compiles alone, as C11 and, from public_header.cpp, as C++17; the installed library has what it
 * promises. */
#include "peft/peft.h"

int main(void)
{
    peft_error error = {PEFT_OK, ""};
    const peft_variant *variant;
    return peft_variant_get("lora", &variant, &error) == PEFT_OK && peft_variant_at(0) ? 0 : 1;
}
