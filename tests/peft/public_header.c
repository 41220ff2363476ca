/* The public header compiles alone, as C11 and as C++17 (public_header.cpp includes this file). */
#include "peft/peft.h"

int main(void)
{
    return peft_variant_at(0) ? 0 : 1;
}
