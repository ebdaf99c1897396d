/*
 * log_kept_test.c -- what is kept of warnings and errors. stderr goes nowhere here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base_private.h"
#include "freshet/bytes.h"
#include "freshet/log.h"

static struct fr_log_kept lines[FR_LOG_KEPT + 1];

static size_t recent(void)
{
    memset(lines, 0xAA, sizeof(lines));
    return fr_log_recent(lines, FR_LOG_KEPT + 1);
}

static void keep(const char *text, int64_t now_ms)
{
    log_keep(FR_WARN, "feed", "e", text, strlen(text), 1, now_ms);
}

static void only_what_warns_is_kept_with_its_fields(void **state)
{
    (void)state;
    size_t before = recent();
    fr_log(FR_DEBUG, "c", "kept.debug", FR_NO_FIELDS, "x");
    fr_log(FR_INFO, "c", "kept.info", FR_NO_FIELDS, "x");
    assert_int_equal(recent(), before);
    fr_log(FR_ERROR, "feed", "kept.error", FR_FIELDS(FR_TEXT("topic", "a b"), FR_INT("partition", 3)), "it is <gone>\n%d", 7);
    assert_int_equal(recent(), before + 1);
    assert_string_equal(lines[0].text, "it is <gone>\\u000a7 topic=\"a b\" partition=3");
    assert_string_equal(lines[0].component, "feed");
    assert_string_equal(lines[0].event, "kept.error");
    assert_int_equal(lines[0].level, FR_ERROR);
    assert_int_equal(lines[0].times, 1);
    assert_true(lines[0].last_ms > 1700000000000);
}

static void the_same_again_is_one_line_and_the_newest(void **state)
{
    (void)state;
    keep("first", 100);
    keep("second", 200);
    size_t before = recent();
    keep("first", 300);
    assert_int_equal(recent(), before);
    assert_string_equal(lines[0].text, "first");
    assert_int_equal(lines[0].times, 2);
    assert_int_equal(lines[0].first_ms, 100);
    assert_int_equal(lines[0].last_ms, 300);
    assert_string_equal(lines[1].text, "second");
    log_keep(FR_ERROR, "feed", "e", "first", 5, 1, 400); /* as an error it is another */
    log_keep(FR_WARN, "feed", "f", "first", 5, 1, 500);
    assert_int_equal(recent(), before + 2);
}

static void those_that_were_not_written_count(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        fr_log(FR_WARN, "c", "kept.often", FR_NO_FIELDS, "often");
    log_keep(FR_WARN, "c", "kept.often", "often", 5, 1 + 40, 1);
    recent();
    assert_int_equal(lines[0].times, 44);
}

static void long_lines_are_cut_between_characters(void **state)
{
    char text[3000];

    (void)state;
    memset(text, 'x', FR_LOG_KEPT_BYTES - 2);
    strcpy(text + FR_LOG_KEPT_BYTES - 2, "\xE2\x82\xAC and more");
    keep(text, 1);
    recent();
    assert_int_equal(strlen(lines[0].text), FR_LOG_KEPT_BYTES - 2);
    assert_true(fr_utf8_valid(lines[0].text, strlen(lines[0].text)));
}

static void the_oldest_makes_room(void **state)
{
    char text[20];

    (void)state;
    for (int i = 0; i < FR_LOG_KEPT + 5; i++) {
        snprintf(text, sizeof(text), "line %d", i);
        keep(text, 1000 + i);
    }
    assert_int_equal(recent(), FR_LOG_KEPT);
    for (int i = 0; i < FR_LOG_KEPT; i++) {
        snprintf(text, sizeof(text), "line %d", FR_LOG_KEPT + 4 - i);
        assert_string_equal(lines[i].text, text);
    }
    assert_int_equal(fr_log_recent(lines, 2), 2);
    assert_string_equal(lines[1].text, "line 67");
}

static void *log_much(void *name)
{
    for (int i = 0; i < 2000; i++)
        keep(i % 2 ? name : "both", i);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    pthread_t threads[2];
    uint64_t times = 0;

    (void)state;
    assert_int_equal(pthread_create(&threads[0], NULL, log_much, (void *)"one"), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, log_much, (void *)"other"), 0);
    for (int i = 0; i < 100; i++)
        recent();
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    recent();
    for (int i = 0; i < 3; i++)
        times += lines[i].times;
    assert_int_equal(times, 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_warns_is_kept_with_its_fields),
        cmocka_unit_test(the_same_again_is_one_line_and_the_newest),
        cmocka_unit_test(those_that_were_not_written_count),
        cmocka_unit_test(long_lines_are_cut_between_characters),
        cmocka_unit_test(the_oldest_makes_room),
        cmocka_unit_test(threads_lose_nothing),
    };

    if (!freopen("/dev/null", "w", stderr))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
