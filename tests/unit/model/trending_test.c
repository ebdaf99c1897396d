/*
 * trending_test.c -- sums that fade, against adding up every held user anew; the landmark's moves; the store.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/event.h"
#include "freshet/model.h"
#include "freshet/trending.h"
#include "journal_checks.h"

enum { USERS = 9, ITEMS = 130 };
#define HALF ((span_ms)1000)

static const struct trending_options options = {HALF};

struct town {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t users_of_item[ITEMS], items_held;
    _Atomic uint64_t events;
    uint64_t last[USERS][ITEMS]; /* stamp; 0: not held */
    when_ms now;
};

static void town_open(struct town *town)
{
    const struct model_host host = {town->epoch, &town->journal, town->users_of_item, &town->items_held, ITEMS, &town->events, NULL, NULL, NULL};

    town->model = trending_ops.open(&options, &host);
    trending_ops.extend(town->model, ITEMS);
}

static struct town *town_new(void)
{
    struct town *town = fr_zalloc(1, sizeof(*town));

    town->epoch = fr_epoch_new();
    town->journal = journal_new();
    scores_init(&town->scores);
    town_open(town);
    return town;
}

static void town_free(struct town *town)
{
    trending_ops.close(town->model);
    scores_release(&town->scores);
    journal_free(town->journal);
    fr_epoch_free(town->epoch);
    free(town);
}

/* The user's history is just this slot, as far as the model looks. */
static void meet(struct town *town, uint32_t user, uint32_t item, when_ms when)
{
    uint64_t *last = &town->last[user][item];
    struct touch touch = {.user = user, .item = item, .fresh = !*last, .when = when, .weight = 1};
    uint64_t stamp = *last;

    touch.history = (struct history){.item = &item, .stamp = &stamp, .len = *last ? 1 : 0};
    if (town->model)
        trending_ops.learn(town->model, &touch);
    town->events++;
    town->users_of_item[item] += !*last;
    if (!*last || when > stamp_last(*last))
        *last = stamp_of(when, 1);
    town->now = when > town->now ? when : town->now;
}

static void leave(struct town *town, uint32_t user, uint32_t item)
{
    struct touch touch = {.user = user, .item = item, .when = stamp_last(town->last[user][item])};

    town->last[user][item] = 0;
    town->users_of_item[item]--;
    if (town->model)
        trending_ops.forget(town->model, &touch);
}

static const double *ask(struct town *town)
{
    const struct query query = {.now = town->now, .items = ITEMS};

    scores_reset(&town->scores, ITEMS);
    trending_ops.retrieve(town->model, &query, &town->scores);
    assert_true(town->scores.dense);
    return town->scores.value;
}

static void agrees(struct town *town)
{
    if (!town->model)
        return;
    const double *values = ask(town);

    for (uint32_t item = 0; item < ITEMS; item++) {
        double want = 0;
        for (uint32_t user = 0; user < USERS; user++)
            if (town->last[user][item])
                want += decay_factor(town->now - stamp_last(town->last[user][item]), HALF);
        assert_true(fabs(values[item] - want) <= 1e-9 + 1e-9 * want);
        if (!town->users_of_item[item])
            assert_true(values[item] == 0);
    }
}

static void save(struct model *model)
{
    trending_ops.save(model);
    while (!trending_ops.pay(model, 7))
        ;
}

static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Late events, repeats, leavings; now and then a leap of up to two thousand half-lives, over several landmarks. */
static void walk(struct town *town, uint64_t *random, int steps)
{
    for (int i = 0; i < steps; i++) {
        uint32_t user = (uint32_t)(draw(random) % USERS), item = (uint32_t)(draw(random) % (draw(random) % ITEMS + 1));
        uint64_t kind = draw(random) % 100;
        when_ms when = town->now + 50 - (when_ms)(draw(random) % (kind < 20 ? 5 * HALF : 100));
        when = kind == 99 ? town->now + (when_ms)(draw(random) % 2000) * HALF : when < 1 ? 1 : when;
        if (kind >= 80 && kind < 95 && town->last[user][item])
            leave(town, user, item);
        else
            meet(town, user, item, when);
        if (i % 16 == 0)
            agrees(town);
    }
}

static void sums_are_those_of_the_held_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct town *town = town_new();
        uint64_t random = seed;
        walk(town, &random, 1000);
        town_free(town);
    }
}

/* ---- the store ---- */

enum { ROWS = (ITEMS + 63) / 64, COLUMNS = 65 };
struct shelf {
    struct fr_bytes cells[ROWS][COLUMNS];
    char room[ROWS][COLUMNS][40];
};

static void shelf_take(struct shelf *shelf, const struct journal *journal)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin_only(journal, TABLE_TRENDING, &cursor);
    while (journal_next(&cursor, &op)) {
        assert_true(op.row < ROWS && op.column < COLUMNS && op.bytes.len <= 40);
        memcpy(shelf->room[op.row][op.column], op.bytes.at, op.bytes.len);
        shelf->cells[op.row][op.column] = (struct fr_bytes){shelf->room[op.row][op.column], op.bytes.len};
    }
}

/* Into a new model. Rows may come in any order, so they do. */
static void shelf_load(const struct shelf *shelf, struct town *town)
{
    trending_ops.close(town->model);
    town_open(town);
    for (uint32_t row = ROWS; row-- > 0;) {
        struct fr_bytes there[COLUMNS];
        uint32_t columns[COLUMNS];
        size_t len = 0;
        for (uint32_t column = 0; column < COLUMNS; column++)
            if (shelf->cells[row][column].at) {
                columns[len] = column;
                there[len++] = shelf->cells[row][column];
            }
        assert_true(trending_ops.tables[0].load(town->model, row, columns, NULL, there, len));
    }
}

/* Everything journaled so far into a new model. */
static void reopen(struct town *town)
{
    struct shelf shelf = {0};

    save(town->model);
    shelf_take(&shelf, town->journal);
    shelf_load(&shelf, town);
}

static void a_restart_changes_no_bit(void **state)
{
    struct town *stopped = town_new(), *whole = town_new();
    uint64_t random = 5, same = 5;

    (void)state;
    for (int part = 0; part < 6; part++) {
        walk(stopped, &random, 300);
        walk(whole, &same, 300);
        reopen(stopped);
        assert_true(trending_ops.current(stopped->model));
        assert_memory_equal(ask(stopped), ask(whole), ITEMS * sizeof(double));
    }
    town_free(stopped);
    town_free(whole);
}

/* Whatever is met and left while a freeze is being paid, and however far the landmark moves: what is saved is of the freeze. */
static void what_is_saved_is_as_of_the_freeze(void **state)
{
    struct town *town = town_new(), *other = town_new();
    struct shelf *shelf = fr_zalloc(1, sizeof(*shelf));
    uint64_t random = 3;

    (void)state;
    for (int freeze = 0; freeze < 60; freeze++) {
        double values[ITEMS];
        struct journal *aside = town->journal;
        walk(town, &random, 50);
        memcpy(values, ask(town), sizeof(values));
        other->now = town->now;
        for (uint32_t item = 0; item < ITEMS; item++) /* the engine's part, which the engine keeps */
            other->users_of_item[item] = town->users_of_item[item];
        trending_ops.save(town->model);
        town->journal = journal_new();
        do
            walk(town, &random, 5);
        while (!trending_ops.pay(town->model, 3));
        shelf_take(shelf, aside);
        journal_free(aside);
        shelf_load(shelf, other);
        assert_memory_equal(values, ask(other), sizeof(values));
    }
    free(shelf);
    town_free(town);
    town_free(other);
}

/* All that is held, as the engine tells it: user by user. */
static void recall(struct town *town)
{
    trending_ops.recall(town->model, NULL);
    for (uint32_t user = 0; user < USERS; user++) {
        uint32_t items[ITEMS];
        uint64_t stamps[ITEMS];
        struct history history = {.item = items, .stamp = stamps};
        for (uint32_t item = 0; item < ITEMS; item++) {
            items[history.len] = item;
            stamps[history.len] = town->last[user][item];
            history.len += town->last[user][item] != 0;
        }
        trending_ops.recall(town->model, &history);
    }
}

/* A store learned without the model: from its first event, or for a while. */
static void what_it_has_missed_it_makes_of_the_histories(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        struct town *town = town_new();
        struct model *model = town->model;
        uint64_t random = 11;
        walk(town, &random, 300);
        save(model);
        town->model = NULL;
        walk(town, &random, 40);
        town->model = model;
        if (!kept) {
            trending_ops.close(town->model);
            town_open(town);
        }
        assert_false(trending_ops.current(town->model));
        recall(town);
        agrees(town);
        walk(town, &random, 300);
        reopen(town);
        assert_true(trending_ops.current(town->model));
        agrees(town);
        town_free(town);
    }
}

/* Whoever leaves is no event: with it or without it, in any order. */
static void what_left_without_it_is_missed_too(void **state)
{
    struct town *town = town_new();
    struct model *model;
    uint64_t random = 7;
    uint32_t user = 0, item = 0;

    (void)state;
    walk(town, &random, 300);
    while (!town->last[user][item])
        user = user + 1 < USERS ? user + 1 : (item++, 0);
    leave(town, user, item);
    reopen(town);
    assert_true(trending_ops.current(town->model));
    while (!town->last[user][item])
        user = user + 1 < USERS ? user + 1 : (item++, 0);
    model = town->model;
    town->model = NULL;
    leave(town, user, item);
    town->model = model;
    reopen(town);
    assert_false(trending_ops.current(town->model));
    while (!town->last[user][item])
        user = user + 1 < USERS ? user + 1 : (item++, 0);
    leave(town, user, item); /* as the engine does with those whom only its ledger knows, before it asks */
    assert_false(trending_ops.current(town->model));
    recall(town);
    agrees(town);
    reopen(town);
    assert_true(trending_ops.current(town->model));
    agrees(town);
    town_free(town);
}

/* A store of before slots were counted: its sums are read, and not relied on. */
static void sums_without_a_count_of_slots_are_made_anew(void **state)
{
    struct town *town = town_new();
    struct shelf *shelf = fr_zalloc(1, sizeof(*shelf));
    struct fr_bytes *landmark = &shelf->cells[0][64];
    uint64_t random = 13;

    (void)state;
    walk(town, &random, 300);
    save(town->model);
    shelf_take(shelf, town->journal);
    assert_int_equal(landmark->len, 36);
    landmark->len = 28;
    shelf->room[0][64][0] = 1;
    shelf_load(shelf, town);
    assert_false(trending_ops.current(town->model));
    agrees(town);
    recall(town);
    agrees(town);
    reopen(town);
    assert_true(trending_ops.current(town->model));
    agrees(town);
    free(shelf);
    town_free(town);
}

/* From 1970 to today is more half-lives than anybody can wait for one by one. */
static void a_leap_of_any_length_is_one_step(void **state)
{
    struct town *town = town_new();

    (void)state;
    for (uint32_t item = 0; item < ITEMS; item++)
        meet(town, item % USERS, item, 1);
    meet(town, 0, 5, EVENT_WHEN_MAX);
    agrees(town);
    assert_true(fabs(ask(town)[5] - 1) < 1e-9);
    meet(town, 1, 6, EVENT_WHEN_MAX - HALF);
    agrees(town);
    town_free(town);
}

/* A question has its time from before the leap, and meets sums from behind it. */
static void a_question_from_before_a_leap_is_answered_in_numbers(void **state)
{
    static const int64_t halves[] = {1, 511, 512, 513, 999, 1023, 1024, 1025, 1535, 1536, 1537, 2047, 2048, 5000, 5119, 5120, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(halves) / sizeof(*halves); i++) {
        struct town *town = town_new();
        double peak;
        for (uint32_t item = 0; item < 3; item++)
            meet(town, 0, item, 1);
        for (uint32_t user = 0; user < USERS; user++)
            meet(town, user, 1, 1 + halves[i] * HALF);
        town->now = 1;
        const double *values = ask(town);
        assert_true(isfinite(values[0]) && isfinite(values[1]));
        assert_true(values[0] == values[2] && values[1] > values[0] && values[0] >= 0);
        if (halves[i] <= 512) /* no leap yet */
            assert_true(fabs(values[0] - 1) < 1e-9);
        if (halves[i] < 1000) /* as far apart as ever, while that is a number */
            assert_true(fabs(values[1] / values[0] / ldexp(USERS, (int)halves[i]) - 1) < 1e-9);
        trending_peaks(town->model, town->now, 1, &peak);
        assert_true(isfinite(peak) && peak >= values[1]);
        town_free(town);
    }
}

static void what_cannot_be_ours_is_refused(void **state)
{
    struct town *town = town_new();
    const double sums[] = {1, -1, (double)NAN, (double)INFINITY};
    uint32_t column = 3;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct fr_bytes cell = {(const char *)&sums[i], 8};
        assert_int_equal(trending_ops.tables[0].load(town->model, 0, &column, NULL, &cell, 1), i == 0);
    }
    struct fr_bytes cell = {(const char *)sums, 8}, cut = {(const char *)sums, 7};
    assert_false(trending_ops.tables[0].load(town->model, 0, &column, NULL, &cut, 1));
    assert_false(trending_ops.tables[0].load(town->model, 2, (uint32_t[]){2}, NULL, &cell, 1)); /* item 130 */
    assert_false(trending_ops.tables[0].load(town->model, 1, (uint32_t[]){64}, NULL, &cell, 1));
    const char other[28] = {1, 0, 0, 0, 7}; /* a half-life of 7 ms */
    struct fr_bytes head = {other, sizeof(other)};
    assert_false(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &head, 1));
    char old[28] = {1, 0, 0, 0, (char)(HALF % 256), (char)(HALF / 256)}, new[36] = {2, 0, 0, 0, (char)(HALF % 256), (char)(HALF / 256)};
    assert_true(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){old, sizeof(old)}, 1));
    assert_true(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){new, sizeof(new)}, 1));
    assert_false(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){new, sizeof(old)}, 1));
    old[0] = 2;
    assert_false(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){old, sizeof(old)}, 1));
    memset(new + 12, 0xFF, 8); /* no event yet */
    assert_true(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){new, sizeof(new)}, 1));
    new[12] = (char)0xFE;
    assert_false(trending_ops.tables[0].load(town->model, 0, (uint32_t[]){64}, NULL, &(struct fr_bytes){new, sizeof(new)}, 1));
    town_free(town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_held_histories),
        cmocka_unit_test(a_restart_changes_no_bit),
        cmocka_unit_test(what_is_saved_is_as_of_the_freeze),
        cmocka_unit_test(what_it_has_missed_it_makes_of_the_histories),
        cmocka_unit_test(what_left_without_it_is_missed_too),
        cmocka_unit_test(sums_without_a_count_of_slots_are_made_anew),
        cmocka_unit_test(a_leap_of_any_length_is_one_step),
        cmocka_unit_test(a_question_from_before_a_leap_is_answered_in_numbers),
        cmocka_unit_test(what_cannot_be_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
