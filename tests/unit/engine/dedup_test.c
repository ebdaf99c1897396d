/*
 * dedup_test.c -- repeats against a plain list of all that was remembered, and restarts against never having stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "freshet/event.h"
#include "dedup.h"
#include "journal_checks.h"

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(random_next(state) % bound);
}

/* The n-th event id as a hash. */
static bool seen(struct dedup *dedup, uint32_t partition, uint32_t n, when_ms when, struct journal *journal)
{
    uint64_t state = n, high = random_next(&state);

    return dedup_seen(dedup, partition, high, (uint32_t)random_next(&state), when, journal);
}

/* ---- the table on disk, as the journal makes it ---- */

struct disk_cell {
    uint32_t row, column;
    char bytes[16];
};

struct disk {
    struct disk_cell *cells;
    size_t len, room;
};

static void disk_apply(struct disk *disk, struct journal *journal)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin_only(journal, TABLE_DEDUP, &cursor);
    while (journal_next(&cursor, &op)) {
        if (op.kind == JOURNAL_CLEAR) {
            size_t kept = 0;

            for (size_t i = 0; i < disk->len; i++)
                if (disk->cells[i].row != op.row)
                    disk->cells[kept++] = disk->cells[i];
            disk->len = kept;
            continue;
        }
        assert_int_equal(op.kind, JOURNAL_PUT);
        assert_int_equal(op.bytes.len, 16);
        for (size_t i = 0; i < disk->len; i++)
            assert_false(disk->cells[i].row == op.row && disk->cells[i].column >= op.column);
        if (disk->len == disk->room)
            disk->cells = realloc(disk->cells, (disk->room = disk->room * 2 + 64) * sizeof *disk->cells);
        disk->cells[disk->len] = (struct disk_cell){.row = op.row, .column = op.column};
        memcpy(disk->cells[disk->len++].bytes, op.bytes.at, 16);
    }
    journal_reset(journal);
}

static int order_of_cells(const void *one, const void *other)
{
    const struct disk_cell *a = one, *b = other;

    if (a->row != b->row)
        return a->row < b->row ? -1 : 1;
    return a->column < b->column ? -1 : a->column > b->column;
}

static struct dedup *disk_load(struct disk *disk, span_ms window, uint32_t ids_max)
{
    struct dedup *dedup = dedup_new(window, ids_max);
    struct fr_bytes *views = malloc((disk->len + 1) * sizeof *views);

    if (disk->len)
        qsort(disk->cells, disk->len, sizeof *disk->cells, order_of_cells);
    for (size_t at = 0; at < disk->len;) {
        size_t len = 0;
        uint32_t row = disk->cells[at].row;

        for (; at + len < disk->len && disk->cells[at + len].row == row; len++) {
            assert_int_equal(disk->cells[at + len].column, len);
            views[len] = (struct fr_bytes){disk->cells[at + len].bytes, 16};
        }
        assert_true(dedup_load(dedup, row, views, len));
        at += len;
    }
    free(views);
    return dedup;
}

/* ---- the plain list ---- */

struct plain {
    struct {
        uint32_t partition, n;
        when_ms when;
    } *all;
    size_t len;
    when_ms newest[4]; /* by partition */
};

/* A repeat of anything ever remembered? With `since`, only of what is not older than that. */
static bool plain_has(const struct plain *plain, uint32_t partition, uint32_t n, when_ms when, span_ms window,
                      when_ms since)
{
    for (size_t i = 0; i < plain->len; i++)
        if (plain->all[i].partition == partition && plain->all[i].n == n && plain->all[i].when >= since &&
            llabs(plain->all[i].when - when) <= window)
            return true;
    return false;
}

static void plain_add(struct plain *plain, uint32_t partition, uint32_t n, when_ms when)
{
    plain->all[plain->len].partition = partition;
    plain->all[plain->len].n = n;
    plain->all[plain->len++].when = when;
    if (when > plain->newest[partition])
        plain->newest[partition] = when;
}

static void with_time_that_never_goes_back_every_answer_is_exact(void **state)
{
    enum { STEPS = 6000 };
    static const span_ms windows[] = {1, 2, 15, 16, 17, 33, 1000, 3600000};

    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        span_ms window = windows[seed % 8];
        struct dedup *dedup = dedup_new(window, 1000000);
        struct journal *journal = journal_new();
        struct plain plain = {.all = malloc(STEPS * sizeof *plain.all)};
        uint64_t random = seed, repeats = 0;
        when_ms now[4] = {0};

        for (int step = 0; step < STEPS; step++) {
            uint32_t partition = random_below(&random, 4), n = random_below(&random, 300);
            bool expected;

            /* Mostly small steps; sometimes a pause of several windows. */
            if (random_below(&random, 500) == 0)
                now[partition] += window * random_below(&random, 5);
            else
                now[partition] += random_below(&random, (uint32_t)window / (seed < 8 ? 50 : 5) + 2);
            expected = plain_has(&plain, partition, n, now[partition], window, 0);
            repeats += expected;
            assert_int_equal(seen(dedup, partition, n, now[partition], journal), expected);
            if (!expected)
                plain_add(&plain, partition, n, now[partition]);
        }
        assert_in_range(repeats, 10, STEPS - 10);
        assert_int_equal(dedup_overflowed(dedup), 0);
        free(plain.all);
        journal_free(journal);
        dedup_free(dedup);
    }
}

static void the_window_ends_where_it_says(void **state)
{
    static const span_ms windows[] = {1, 15, 16, 17, 1000, 3600000};
    struct journal *journal = journal_new();

    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        span_ms window = windows[i];
        struct dedup *dedup = dedup_new(window, 100);

        assert_false(seen(dedup, 0, 1, 5000, journal));
        assert_true(seen(dedup, 0, 1, 5000, journal));
        assert_false(seen(dedup, 1, 1, 5000, journal)); /* another partition knows nothing of it */
        assert_true(seen(dedup, 0, 1, 5000 + window, journal));
        assert_false(seen(dedup, 0, 1, 5000 + window + 1, journal)); /* new, and from now on this one counts */
        assert_true(seen(dedup, 0, 1, 5000 + 2 * window + 1, journal));
        assert_false(seen(dedup, 0, 1, 5000 + 2 * window + 2, journal));
        dedup_free(dedup);
    }
    journal_free(journal);
}

static void late_records_are_told_as_long_as_what_they_repeat_is_in_the_window(void **state)
{
    enum { STEPS = 6000, WINDOW = 1000 };

    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct dedup *dedup = dedup_new(WINDOW, 1000000);
        struct journal *journal = journal_new();
        struct plain plain = {.all = malloc(STEPS * sizeof *plain.all)};
        uint64_t random = seed;
        when_ms now = 5000;

        for (int step = 0; step < STEPS; step++) {
            uint32_t n = random_below(&random, 200);
            when_ms when = (now += random_below(&random, 30)) - random_below(&random, seed % 2 ? 500 : 5000);
            bool answer;

            /* The reader of the log may forget what is out of the window of its newest record, and only that. */
            answer = seen(dedup, 0, n, when, journal);
            if (plain_has(&plain, 0, n, when, WINDOW, plain.newest[0] - WINDOW))
                assert_true(answer);
            if (!plain_has(&plain, 0, n, when, WINDOW, 0))
                assert_false(answer);
            if (!answer)
                plain_add(&plain, 0, n, when);
        }
        free(plain.all);
        journal_free(journal);
        dedup_free(dedup);
    }
}

static void a_record_without_a_time_has_that_of_the_one_before(void **state)
{
    struct dedup *dedup = dedup_new(1000, 100);
    struct journal *journal = journal_new();

    (void)state;
    assert_false(seen(dedup, 0, 1, -1, journal)); /* the very first: 0 */
    assert_true(seen(dedup, 0, 1, 1000, journal));
    assert_false(seen(dedup, 0, 2, 50000, journal));
    assert_false(seen(dedup, 0, 3, -1, journal));
    assert_true(seen(dedup, 0, 3, 51000, journal));
    assert_false(seen(dedup, 0, 3, 51001, journal));
    journal_free(journal);
    dedup_free(dedup);
}

static void one_record_from_a_far_future_does_not_wipe_the_memory(void **state)
{
    struct dedup *dedup = dedup_new(1600, 100000);
    struct journal *journal = journal_new();

    (void)state;
    for (uint32_t n = 0; n < 1600; n++) /* 16 buckets of 100 */
        assert_false(seen(dedup, 0, n, 10000 + n, journal));
    assert_false(seen(dedup, 0, 9999, EVENT_WHEN_MAX, journal));
    assert_int_equal(dedup_ids(dedup), 1600 - 200 + 1); /* two buckets have gone */
    for (uint32_t n = 200; n < 1600; n++)
        assert_true(seen(dedup, 0, n, 11600, journal));
    assert_true(seen(dedup, 0, 9999, EVENT_WHEN_MAX - 1600, journal));
    /* And the memory goes on working beside it, and does not grow without end. */
    for (uint32_t n = 10000; n < 110000; n++) {
        assert_false(seen(dedup, 0, n, 11600 + (when_ms)n - 10000, journal));
        assert_true(seen(dedup, 0, n, 11600 + (when_ms)n - 10000, journal));
        journal_reset(journal);
    }
    assert_true(dedup_ids(dedup) <= 100000);
    journal_free(journal);
    dedup_free(dedup);
}

static void past_ids_max_the_oldest_are_forgotten_and_counted(void **state)
{
    static const uint32_t maxima[] = {1, 2, 15, 16, 17, 31, 100, 1600};
    struct journal *journal = journal_new();

    (void)state;
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        uint32_t max = maxima[i], bucket = (max + 15) / 16;
        struct dedup *dedup = dedup_new(3600000, max);

        for (uint32_t n = 0; n < 4 * max; n++) {
            assert_false(seen(dedup, 0, n, 1000, journal));
            assert_true(dedup_ids(dedup) <= max);
            assert_int_equal(dedup_ids(dedup) + dedup_overflowed(dedup), n + 1);
        }
        /* All but the last bucketful is still there, and the first ones are not. */
        for (uint32_t n = 3 * max + bucket; n < 4 * max; n++)
            assert_true(seen(dedup, 0, n, 1000, journal));
        assert_false(seen(dedup, 0, 0, 1000, journal));
        dedup_free(dedup);
    }
    journal_free(journal);
}

/* A log with everything in it: disorder, pauses, records without time, clocks that are wrong. */
static when_ms wild_time(uint64_t *random, when_ms *now, span_ms window)
{
    uint32_t dice = random_below(random, 1000);

    *now += random_below(random, (uint32_t)window / 40 + 2);
    if (dice < 5)
        return EVENT_WHEN_MAX - random_below(random, 100);
    if (dice < 10)
        return random_below(random, 100);
    if (dice < 30)
        return -1;
    if (dice < 33)
        *now += 3 * window;
    return dice < 300 ? *now - random_below(random, (uint32_t)window * 2) : *now;
}

static void a_restart_decides_as_if_there_had_been_none(void **state)
{
    enum { WINDOW = 1000 };
    static const uint32_t maxima[] = {1, 40, 300, 100000};

    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        uint32_t max = maxima[seed % 4];
        struct dedup *steady = dedup_new(WINDOW, max), *restarted = dedup_new(WINDOW, max);
        struct journal *journal = journal_new(), *other = journal_new();
        struct disk disk = {0};
        uint64_t random = seed;
        when_ms now[2] = {100000, 200000};

        for (int step = 0; step < 8000; step++) {
            uint32_t partition = random_below(&random, 2), n = random_below(&random, 400);
            when_ms when = wild_time(&random, &now[partition], WINDOW);

            partition *= 4095; /* the first and the last there can be */
            assert_int_equal(seen(steady, partition, n, when, journal), seen(restarted, partition, n, when, other));
            journal_reset(journal);
            if (random_below(&random, 200) == 0) {
                disk_apply(&disk, other);
                dedup_free(restarted);
                restarted = disk_load(&disk, WINDOW, max);
                assert_int_equal(dedup_ids(restarted), dedup_ids(steady));
                assert_int_equal(disk.len, dedup_ids(steady));
                assert_int_equal(dedup_bytes(restarted), dedup_bytes(steady));
            }
        }
        free(disk.cells);
        journal_free(journal);
        journal_free(other);
        dedup_free(steady);
        dedup_free(restarted);
    }
}

static void bucket_numbers_wrap_and_a_restart_still_knows_their_order(void **state)
{
    enum { WINDOW = 1600, LAST = (1 << 20) - 1 };
    struct dedup *dedup = dedup_new(WINDOW, 100000), *again;
    struct journal *journal = journal_new();
    uint64_t first[2] = {htole64(77), htole64((uint64_t)5 << 44 | 1000)};
    struct fr_bytes cell = {(const char *)first, sizeof first};
    struct disk disk = {0};

    (void)state;
    assert_true(dedup_load(dedup, 3U << 20 | (LAST - 4), &cell, 1));
    for (uint32_t n = 0; n < 10; n++) /* ten buckets: LAST - 3 .. LAST, 0 .. 5 */
        assert_false(seen(dedup, 3, n, 1100 + 100 * (when_ms)n, journal));
    disk_apply(&disk, journal);
    assert_int_equal(disk.len, 10);
    assert_int_equal(disk.cells[3].row, 3U << 20 | LAST);
    assert_int_equal(disk.cells[4].row, 3U << 20);
    again = disk_load(&disk, WINDOW, 100000);
    assert_false(seen(again, 3, 50, -1, journal)); /* the newest entry's time is 2000 */
    assert_true(seen(again, 3, 50, 2000 + WINDOW, journal));
    assert_false(seen(again, 3, 50, 2000 + WINDOW + 1, journal));
    journal_reset(journal);
    dedup_free(again);
    again = disk_load(&disk, WINDOW, 100000);
    /* The two oldest buckets leave at 2701 + 100, and no others: the order is that of time. */
    assert_false(seen(again, 3, 100, 2801, journal));
    disk_apply(&disk, journal);
    for (size_t i = 0; i < disk.len; i++)
        assert_int_not_equal(disk.cells[i].row, 3U << 20 | (LAST - 3));
    assert_int_equal(disk.len, 9);
    assert_int_equal(disk.cells[0].row, 3U << 20);
    for (uint32_t n = 2; n < 10; n++)
        assert_true(seen(again, 3, n, 2000, journal));
    free(disk.cells);
    journal_free(journal);
    dedup_free(dedup);
    dedup_free(again);
}

static void cells_that_cannot_be_ours_are_refused(void **state)
{
    struct dedup *dedup = dedup_new(1000, 100);
    uint64_t good[3] = {htole64(1), htole64((uint64_t)2 << 44 | 3)}, none[2] = {0, htole64(99)};
    struct fr_bytes cells[2] = {{(const char *)good, 16}, {(const char *)good, 16}};

    (void)state;
    assert_false(dedup_load(dedup, 0, cells, 0));
    for (size_t len = 0; len <= 24; len++) {
        cells[1].len = len;
        if (len != 16)
            assert_false(dedup_load(dedup, 0, cells, 2));
    }
    cells[1] = (struct fr_bytes){(const char *)none, 16}; /* no hash */
    assert_false(dedup_load(dedup, 0, cells, 2));
    assert_int_equal(dedup_ids(dedup), 0);
    assert_true(dedup_load(dedup, 0, cells, 1));
    assert_false(dedup_load(dedup, 0, cells, 1)); /* a row twice */
    for (uint32_t row = 1; row < 40; row++)
        assert_true(dedup_load(dedup, row, cells, 1));
    assert_false(dedup_load(dedup, 40, cells, 1)); /* more than a queue can be long */
    assert_int_equal(dedup_ids(dedup), 40);
    dedup_free(dedup);
    dedup_free(NULL);
}

static void hashes_that_differ_in_the_low_bits_only_are_different(void **state)
{
    struct dedup *dedup = dedup_new(1000, 100);
    struct journal *journal = journal_new();

    (void)state;
    for (uint32_t bit = 0; bit < 20; bit++)
        assert_false(dedup_seen(dedup, 0, 42, 1U << bit, 10, journal));
    for (uint32_t bit = 0; bit < 64; bit++)
        assert_false(dedup_seen(dedup, 0, (uint64_t)1 << bit, 0, 10, journal));
    for (uint32_t bit = 0; bit < 20; bit++)
        assert_true(dedup_seen(dedup, 0, 42, 1U << bit, 10, journal));
    journal_free(journal);
    dedup_free(dedup);
}

static void an_id_costs_at_most_32_bytes(void **state)
{
    struct dedup *dedup = dedup_new(3600000, 1000000);
    struct journal *journal = journal_new();
    size_t empty = dedup_bytes(dedup), beyond;

    (void)state;
    for (uint32_t n = 0; n < 200000; n++) {
        assert_false(seen(dedup, 0, n, (when_ms)n * 18, journal)); /* one hour */
        if (n % 1000 == 0)
            journal_reset(journal);
    }
    beyond = dedup_bytes(dedup) - empty;
    print_message("empty %zu bytes; %.1f bytes for each of 200000 ids\n", empty, (double)beyond / 200000);
    assert_true(beyond <= 200000 * 32);
    journal_free(journal);
    dedup_free(dedup);
}

/* ---- the metrics' look ---- */

struct look {
    const struct dedup *dedup;
    _Atomic bool looks, done;
};

static void *look_on(void *context)
{
    struct look *look = context;

    atomic_store(&look->looks, true);
    size_t before = 0, now;
    do {
        now = dedup_bytes(look->dedup);
        if (now < before) /* nothing leaves */
            return look;
        before = now;
    } while (!atomic_load(&look->done));
    return NULL;
}

/* For the thread sanitizer. */
static void its_size_may_be_asked_by_any_thread(void **state)
{
    struct dedup *dedup = dedup_new(3600000, 1000000);
    struct journal *journal = journal_new();
    struct look look = {.dedup = dedup};
    pthread_t thread;
    void *shrunk;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, look_on, &look), 0);
    while (!atomic_load(&look.looks))
        sched_yield();
    for (uint32_t n = 0; n < 10000; n++)
        assert_false(seen(dedup, n % 4, n, 0, journal));
    atomic_store(&look.done, true);
    assert_int_equal(pthread_join(thread, &shrunk), 0);
    assert_null(shrunk);
    journal_free(journal);
    dedup_free(dedup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_ends_where_it_says),
        cmocka_unit_test(with_time_that_never_goes_back_every_answer_is_exact),
        cmocka_unit_test(late_records_are_told_as_long_as_what_they_repeat_is_in_the_window),
        cmocka_unit_test(a_record_without_a_time_has_that_of_the_one_before),
        cmocka_unit_test(one_record_from_a_far_future_does_not_wipe_the_memory),
        cmocka_unit_test(past_ids_max_the_oldest_are_forgotten_and_counted),
        cmocka_unit_test(a_restart_decides_as_if_there_had_been_none),
        cmocka_unit_test(bucket_numbers_wrap_and_a_restart_still_knows_their_order),
        cmocka_unit_test(cells_that_cannot_be_ours_are_refused),
        cmocka_unit_test(hashes_that_differ_in_the_low_bits_only_are_different),
        cmocka_unit_test(an_id_costs_at_most_32_bytes),
        cmocka_unit_test(its_size_may_be_asked_by_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
