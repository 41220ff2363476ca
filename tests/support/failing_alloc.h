/* tests/support/failing_alloc.h - an allocator that fails at one chosen call, to walk through every way of running out
 * of memory:
 *
 *     bool failed = true;
 *     for (int64_t call = 0; failed; call++) {
 *         fail_allocation(call);
 *         peft_status status = peft_thing_load(path, &thing, NULL);
 *         failed = allocation_failed();
 *         ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
 *     }
 *
 * It sees malloc, calloc, realloc, aligned_alloc and strdup of the objects that are linked into the test (meson:
 * failing_alloc_args) and, through its hooks, those of jansson. */
#ifndef PEFT_TESTS_SUPPORT_FAILING_ALLOC_H
#define PEFT_TESTS_SUPPORT_FAILING_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* From now on, allocation number `call` (0: the next one) returns NULL, once. */
void fail_allocation(int64_t call);

/* Has it happened? Afterwards nothing fails any more. */
bool allocation_failed(void);

#endif
