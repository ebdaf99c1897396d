/*
 * exemplar_test.c -- a slot written by several threads at once, read meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "freshet/clock.h"
#include "metric_private.h"

/* Under ThreadSanitizer a reader seldom finds the slot at rest: a quarter of a minute, on a machine with nothing else to do. */
enum { WRITERS = 2, READS = 400000, PATIENCE_S = 240 };

static struct exemplar_slot slot;
static _Atomic bool over;

static struct exemplar alike(int number)
{
    struct exemplar exemplar = {.value = number, .when_ms = number};

    memset(exemplar.labels, 1 + number % 100, sizeof(exemplar.labels));
    return exemplar;
}

static void *write_on(void *arg)
{
    for (int number = *(int *)arg; !over; number += WRITERS) {
        struct exemplar exemplar = alike(number % 1000000);
        exemplar_put(&slot, &exemplar);
    }
    return NULL;
}

static void an_empty_slot_has_none(void **state)
{
    struct exemplar_slot empty = {0};
    struct exemplar exemplar;

    (void)state;
    assert_false(exemplar_get(&empty, &exemplar));
}

static void the_newest_is_found(void **state)
{
    struct exemplar first = alike(7), second = alike(8), found;

    (void)state;
    exemplar_put(&slot, &first);
    exemplar_put(&slot, &second);
    assert_true(exemplar_get(&slot, &found));
    assert_memory_equal(&found, &second, sizeof(found));
}

/* All of what is read is of one observation, whoever writes meanwhile. */
static void none_is_torn(void **state)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS], got = 0;
    uint64_t end_ns = fr_mono_ns() + PATIENCE_S * 1000000000ULL;

    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &numbers[i]), 0);
    }
    while (got < READS && fr_mono_ns() < end_ns) { /* a writer that has lost its core in the middle is waited for */
        struct exemplar found, whole;
        if (!exemplar_get(&slot, &found))
            continue;
        whole = alike((int)found.when_ms);
        assert_memory_equal(&found, &whole, sizeof(found));
        got++;
    }
    over = true;
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(got, READS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_slot_has_none),
        cmocka_unit_test(the_newest_is_found),
        cmocka_unit_test(none_is_torn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
