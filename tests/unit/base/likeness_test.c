/*
 * likeness_test.c -- the distance of words, against the table that defines it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/likeness.h"

enum { LONGEST = 70 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t by_table(const char *a, const char *b)
{
    size_t row[LONGEST + 1], a_len = strlen(a);

    for (size_t i = 0; i <= a_len; i++)
        row[i] = i;
    for (size_t n = 1; *b; b++, n++) {
        size_t corner = row[0];
        row[0] = n;
        for (size_t i = 1; i <= a_len; i++) {
            size_t changed = corner + (a[i - 1] != *b);
            corner = row[i];
            row[i] = least(changed, least(row[i], row[i - 1]) + 1);
        }
    }
    return row[a_len];
}

static void a_word_is_as_far_as_the_fewest_changes(void **state)
{
    (void)state;
    assert_int_equal(fr_edit_distance("kafka", 5, "kafka"), 0);
    assert_int_equal(fr_edit_distance("kafka", 5, "kakfa"), 2);
    assert_int_equal(fr_edit_distance("weights", 7, "weight"), 1);
    assert_int_equal(fr_edit_distance("weights", 7, ""), 7);
    assert_int_equal(fr_edit_distance("a", 1, "bbb"), 3);
}

static void any_two_words_are_as_far_as_the_table_says(void **state)
{
    uint64_t random = 88172645463325252ULL;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char words[2][LONGEST + 1];
        for (int w = 0; w < 2; w++) {
            size_t len = (size_t)(random % (w ? LONGEST : FR_LIKENESS_BYTES_MAX)) + 1;
            for (size_t i = 0; i < len; i++) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                words[w][i] = "abc\xff"[random % 4];
            }
            words[w][len] = 0;
        }
        assert_int_equal(fr_edit_distance(words[0], strlen(words[0]), words[1]), by_table(words[0], words[1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_as_far_as_the_fewest_changes),
        cmocka_unit_test(any_two_words_are_as_far_as_the_table_says),
    };

    return cmocka_run_group_tests_name("likeness", tests, NULL, NULL);
}
