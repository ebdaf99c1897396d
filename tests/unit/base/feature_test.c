/*
 * feature_test.c -- keys of features: equal for equal pairs, different for pairs that only look alike, within bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/feature.h"

static uint64_t key(const char *name, const char *value)
{
    return fr_feature_key(fr_bytes_of(name), fr_bytes_of(value));
}

static void a_key_is_its_pair_and_the_same_after_every_start(void **state)
{
    (void)state;
    assert_true(key("device", "phone") == UINT64_C(0x0b738b0732410d2c)); /* stored with the state: must never change */
    assert_true(key("device", "phone") != key("device", "tablet"));
    assert_true(key("a", "bc") != key("ab", "c"));
    assert_true(key("", "") != 0);
}

static void bounds_are_kept(void **state)
{
    char longest[FEATURE_BYTES_MAX + 2];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    struct fr_bytes at = {longest, FEATURE_BYTES_MAX}, beyond = {longest, FEATURE_BYTES_MAX + 1};
    assert_true(fr_feature_key(at, at) != 0);
    assert_true(fr_feature_key(beyond, at) == 0);
    assert_true(fr_feature_key(at, beyond) == 0);
    assert_true(fr_feature_key((struct fr_bytes){"a\0b", 3}, at) == 0); /* or a\0b, c would be a, b\0c */
    assert_true(fr_feature_key(at, (struct fr_bytes){"a\0b", 3}) != 0);
}

static void a_pair_counts_once_and_there_is_an_end(void **state)
{
    uint64_t keys[FEATURES_MAX];
    size_t len = 0;
    char name[16];

    (void)state;
    for (int i = 0; i < FEATURES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_true(fr_feature_add(keys, &len, fr_bytes_of(name), FR_BYTES("v")));
        assert_true(fr_feature_add(keys, &len, fr_bytes_of(name), FR_BYTES("v")));
        assert_int_equal(len, i + 1);
    }
    assert_true(fr_feature_add(keys, &len, FR_BYTES("n3"), FR_BYTES("v")));
    assert_false(fr_feature_add(keys, &len, FR_BYTES("one"), FR_BYTES("more")));
    assert_int_equal(len, FEATURES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_its_pair_and_the_same_after_every_start),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(a_pair_counts_once_and_there_is_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
