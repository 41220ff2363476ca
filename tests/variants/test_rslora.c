/* rsLoRA is LoRA with alpha sqrt(r). */
#include <math.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

static const int64_t ranks[] = {1, 2, 4, 9, 64};

/* Both scalings are rounded once or twice, so the outputs may differ by as much. */
START_TEST(it_is_lora_with_alpha_times_the_root_of_the_rank)
{
    adapted_layer rslora, lora;
    layer_case sizes = {.in_features = 12, .out_features = 10, .rank = ranks[_i], .tokens = 5, .alpha = 3};
    layer_open(&rslora, peft_variant_find("rslora"), sizes, NULL);
    sizes.alpha *= sqrt((double)sizes.rank);
    layer_open(&lora, peft_variant_find("lora"), sizes, NULL);
    layer_shake(&rslora);
    layer_shake(&lora);
    ck_assert_double_eq_tol(rslora.adapter->scaling, lora.adapter->scaling, 1e-15 * lora.adapter->scaling);
    ck_assert_double_eq_tol(rslora.adapter->scaling, 3 / sqrt((double)ranks[_i]), 1e-15 * 3);
    float *y = layer_output(&rslora, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, 50), 1e-6 * (1 + largest_value(expected, 50)));
    free(y);
    free(expected);
    layer_close(&rslora);
    layer_close(&lora);
}
END_TEST

TEST_MAIN("rslora",
          tcase_add_loop_test(tc, it_is_lora_with_alpha_times_the_root_of_the_rank, 0, sizeof ranks / sizeof *ranks))
