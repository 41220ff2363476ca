/* Rows in tiles: each row in one, none much larger than another, and enough of them. */
#include "ops/engine/tiles.h"
#include "tests/support/main.h"

START_TEST(tiles_are_equal_but_for_a_unit)
{
    enum { MOST_ROWS = 10000 };
    for (int64_t rows = 1; rows <= MOST_ROWS; rows++) {
        int64_t tiles = peft_tiles(rows), most = peft_tile_rows(rows);
        ck_assert_int_eq(peft_tile_begin(rows, tiles, 0), 0);
        ck_assert_int_eq(peft_tile_begin(rows, tiles, tiles), rows);
        ck_assert_int_eq(tiles & (tiles - 1), 0);
        ck_assert_int_le(most, PEFT_MOST_TILE);
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t begin = peft_tile_begin(rows, tiles, tile), end = peft_tile_begin(rows, tiles, tile + 1);
            int64_t whole = (end - begin + PEFT_TILE_UNIT - 1) / PEFT_TILE_UNIT * PEFT_TILE_UNIT;
            ck_assert_int_lt(begin, end);
            ck_assert_int_eq(begin % PEFT_TILE_UNIT, 0);
            ck_assert(whole == most || whole == most - PEFT_TILE_UNIT);
            ck_assert_int_eq(peft_tile_at(rows, begin), tile);
        }
    }
}
END_TEST

START_TEST(there_are_enough_for_threads_and_few_enough_for_caches)
{
    static const struct {
        int64_t rows, tiles;
    } expected[] = {{1, 1},    {64, 1},    {65, 2},    {255, 2},   {256, 4},   {511, 4},  {512, 8},
                    {1023, 8}, {1024, 16}, {4096, 16}, {4097, 32}, {8192, 32}, {8193, 64}};
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
        ck_assert_int_eq(peft_tiles(expected[k].rows), expected[k].tiles);
}
END_TEST

TEST_MAIN("tiles", tcase_add_test(tc, tiles_are_equal_but_for_a_unit);
          tcase_add_test(tc, there_are_enough_for_threads_and_few_enough_for_caches))
