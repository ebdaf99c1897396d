/*
 * users_byte_test.c -- what a byte says of a number of users is true, and near.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "freshet/users_byte.h"

static void every_number_is_between_what_its_byte_says(void **state)
{
    (void)state;
    for (uint32_t users = 0; users < 600000; users++) {
        uint8_t byte = users_byte(users);
        if (byte == USERS_FAR) {
            assert_true(users >= 507904);
            continue;
        }
        uint32_t fewest = users_fewest(byte), most = users_most(byte);
        if (users < fewest || users > most || (most - fewest) * USERS_STEPS >= fewest + USERS_STEPS)
            fail_msg("%u: byte %u, %u to %u", users, byte, fewest, most);
    }
    assert_int_equal(users_byte(507903), USERS_FAR - 1);
    assert_int_equal(users_byte(UINT32_MAX), USERS_FAR);
}

static void few_are_known_exactly_and_the_bytes_leave_no_gap(void **state)
{
    (void)state;
    for (uint32_t users = 0; users < 32; users++) {
        assert_int_equal(users_fewest((uint8_t)users), users);
        assert_int_equal(users_most((uint8_t)users), users);
    }
    for (uint8_t byte = 1; byte < USERS_FAR; byte++) {
        assert_int_equal(users_fewest(byte), users_most((uint8_t)(byte - 1)) + 1);
        assert_int_equal(users_byte(users_fewest(byte)), byte);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_between_what_its_byte_says),
        cmocka_unit_test(few_are_known_exactly_and_the_bytes_leave_no_gap),
    };
    return cmocka_run_group_tests_name("users_byte", tests, NULL, NULL);
}
