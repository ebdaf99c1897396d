/*
 * err_test.c -- errors say what failed, with context in front, within their room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/err.h"

static void a_failure_fills_the_error_and_returns_its_code(void **state)
{
    (void)state;
    struct fr_err err = {.retriable = true};

    assert_int_equal(fr_fail(&err, FR_IO, "cannot open '%s': %d", "x.db", 5), FR_IO);
    assert_int_equal(err.code, FR_IO);
    assert_false(err.retriable);
    assert_string_equal(err.text, "cannot open 'x.db': 5");
}

static void context_goes_in_front_and_keeps_code_and_retriable(void **state)
{
    (void)state;
    struct fr_err err;

    fr_fail(&err, FR_BUSY, "locked by %d", 77);
    err.retriable = true;
    assert_int_equal(fr_while(&err, "cannot use '%s': ", "/data"), FR_BUSY);
    assert_string_equal(err.text, "cannot use '/data': locked by 77");
    assert_int_equal(err.code, FR_BUSY);
    assert_true(err.retriable);
}

static void nobody_has_to_want_the_text(void **state)
{
    (void)state;
    assert_int_equal(fr_fail(NULL, FR_LIMIT, "%s", "too long"), FR_LIMIT);
    assert_int_equal(fr_while(NULL, "reading: "), FR_INTERNAL);
}

static void the_old_text_may_be_an_argument(void **state)
{
    (void)state;
    struct fr_err err;

    fr_fail(&err, FR_IO, "short read");
    fr_fail(&err, FR_CORRUPT, "segment 3: %s", err.text);
    assert_string_equal(err.text, "segment 3: short read");
    fr_while(&err, "[%s] ", err.text);
    assert_string_equal(err.text, "[segment 3: short read] segment 3: short read");
}

static void a_long_text_is_cut_and_still_ends(void **state)
{
    (void)state;
    char words[600];
    struct fr_err err;

    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    fr_fail(&err, FR_IO, "%s", words);
    assert_int_equal(strlen(err.text), 499);
    fr_while(&err, "a: ");
    assert_int_equal(strlen(err.text), 499);
    assert_memory_equal(err.text, "a: www", 6);
    fr_while(&err, "%s", words);
    assert_int_equal(strlen(err.text), 499);
    assert_int_equal(err.text[0], 'w'); /* the context goes before what it is about */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_fills_the_error_and_returns_its_code),
        cmocka_unit_test(context_goes_in_front_and_keeps_code_and_retriable),
        cmocka_unit_test(nobody_has_to_want_the_text),
        cmocka_unit_test(the_old_text_may_be_an_argument),
        cmocka_unit_test(a_long_text_is_cut_and_still_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
