/* disk_gate_test.c -- when the gate closes, when it opens again, and how wide the band between is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disk_gate.h"

static void it_closes_below_the_reserve_and_opens_an_eighth_above(void **state)
{
    (void)state;
    struct disk_gate gate = {.reserve = 800};

    assert_true(disk_gate_open(&gate, 800, 0));
    assert_false(disk_gate_open(&gate, 799, 0));
    assert_false(disk_gate_open(&gate, 899, 0));
    assert_true(disk_gate_open(&gate, 900, 0));
    assert_true(disk_gate_open(&gate, 800, 0));
}

static void what_is_to_be_written_needs_room_twice(void **state)
{
    (void)state;
    struct disk_gate gate = {.reserve = 800};

    assert_true(disk_gate_open(&gate, 1000, 100));
    assert_false(disk_gate_open(&gate, 999, 100));
    assert_true(disk_gate_open(&gate, 1000, 50));
}

static void without_a_reserve_it_is_always_open(void **state)
{
    (void)state;
    struct disk_gate gate = {0};

    assert_true(disk_gate_open(&gate, 0, 1 << 20));
}

static uint64_t count_look(void *context)
{
    (*(int *)context)++;
    return 0;
}

/* Who shows how much is free has no other eyes. */
static void without_a_reserve_it_looks_all_the_same(void **state)
{
    (void)state;
    int looks = 0;
    struct disk_gate gate = {.free = count_look, .context = &looks};

    assert_true(disk_gate_look(&gate, 1 << 20));
    assert_int_equal(looks, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_closes_below_the_reserve_and_opens_an_eighth_above),
        cmocka_unit_test(what_is_to_be_written_needs_room_twice),
        cmocka_unit_test(without_a_reserve_it_is_always_open),
        cmocka_unit_test(without_a_reserve_it_looks_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
