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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_closes_below_the_reserve_and_opens_an_eighth_above),
        cmocka_unit_test(what_is_to_be_written_needs_room_twice),
        cmocka_unit_test(without_a_reserve_it_is_always_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
