#include "ops/torch_random.h"

#include "tests/support/main.h"

/* The C++ standard gives this number for the generator's default seed. */
START_TEST(the_ten_thousandth_number_is_the_standards)
{
    peft_torch_generator g;
    peft_torch_seed(&g, 5489);
    ck_assert_uint_eq(peft_torch_bits(&g), 3499211612U);
    for (int k = 1; k < 9999; k++) peft_torch_bits(&g);
    ck_assert_uint_eq(peft_torch_bits(&g), 4123659995U);
}
END_TEST

/* torch 2.15: torch.empty(1000).uniform_(-0.4330127, 0.25, generator=torch.Generator().manual_seed(seed)) */
enum { COUNT = 1000, PLACES = 6 };
static const int places[PLACES] = {0, 1, 2, 623, 624, 999};
static const struct {
    uint64_t seed;
    float values[PLACES];
} drawn[] = {
    {0, {-0x1.814856p-4F, 0x1.7792ap-4F, -0x1.7d86p-2F, -0x1.b2e688p-2F, -0x1.82850ap-3F, -0x1.41e1bcp-3F}},
    {7, {-0x1.151c24p-4F, -0x1.305c6ep-2F, 0x1.1a6a66p-6F, -0x1.83fc96p-2F, -0x1.b1b48ep-4F, 0x1.e43becp-3F}},
    {(1ULL << 32) + 5, {0x1.128ep-3F, -0x1.6333dp-2F, 0x1.7e9156p-3F, -0x1.c03804p-4F, 0x1.fbee6p-4F, -0x1.fc8c3cp-6F}},
};

START_TEST(uniform_numbers_are_those_of_torch)
{
    peft_torch_generator g;
    float values[COUNT];
    peft_torch_seed(&g, drawn[_i].seed);
    peft_torch_uniform(&g, values, COUNT, -0.4330127, 0.25);
    for (int k = 0; k < PLACES; k++) ck_assert(values[places[k]] == drawn[_i].values[k]);
}
END_TEST

TEST_MAIN("torch_random", tcase_add_test(tc, the_ten_thousandth_number_is_the_standards);
          tcase_add_loop_test(tc, uniform_numbers_are_those_of_torch, 0, sizeof drawn / sizeof *drawn))
