/*
 * forget_test.c -- after a tombstone the state is what it would be had the events before it never been (but for when an item was first
 * seen, which nobody is told by whom); for ever, whatever is killed, restored or read again.
 *
 *     the engine          u1 u2 u1 (u1) i3 u2 (i3) ...      ( ): tombstones
 *     the other one       -  u2 -       -  u2      ...      was never given what they forget
 */
#include <inttypes.h>

#include "forgetting.h"
#include "freshet/fm.h"
#include "freshet/format.h"

enum { USERS = 12, ITEMS = 15, EVENTS_MAX = 400, TEXT = 1 << 16 };

static char names[USERS + ITEMS][8];

static const char *user_name(uint32_t user)
{
    snprintf(names[user], sizeof(names[user]), "u%u", user);
    return names[user];
}

static const char *item_name(uint32_t item)
{
    snprintf(names[USERS + item], sizeof(names[USERS + item]), "i%u", item);
    return names[USERS + item];
}

static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* ---- all that can be asked, as text ---- */

static void tell_user(struct reader *reader, const char *name, char *text, size_t *at)
{
    struct user_facts facts;

    if (reader_user(reader, fr_bytes_of(name), &facts, NULL) != FR_OK || !facts.affinities_len)
        return;
    *at += (size_t)snprintf(text + *at, TEXT - *at, "%s: %" PRIu64 " events to %" PRId64 ":", name, facts.events, facts.last_event);
    for (size_t i = 0; i < facts.affinities_len; i++)
        *at += (size_t)snprintf(text + *at, TEXT - *at, " %.*s=%.17g@%" PRId64, (int)facts.affinities[i].item.len,
                                facts.affinities[i].item.at, facts.affinities[i].affinity, facts.affinities[i].last);
    struct recommendation_list list;
    struct ask ask = {.user = fr_bytes_of(name), .k = ITEMS};
    reader_recommend(reader, &ask, &list);
    *at += (size_t)snprintf(text + *at, TEXT - *at, " -> %s\n", tell(&list));
}

static void tell_item(struct reader *reader, const char *name, char *text, size_t *at)
{
    struct neighbour_list like;
    struct item_facts facts;
    struct ask ask = {.k = ITEMS};

    if (reader_item(reader, fr_bytes_of(name), &facts, NULL) != FR_OK || !facts.users)
        return;
    *at += (size_t)snprintf(text + *at, TEXT - *at, "%s: %" PRIu64 " users:", name, facts.users);
    assert_int_equal(reader_similar_items(reader, fr_bytes_of(name), &ask, &like, NULL), FR_OK);
    for (size_t i = 0; i < like.len; i++)
        *at += (size_t)snprintf(text + *at, TEXT - *at, " %.*s=%.17g", (int)like.neighbours[i].id.len, like.neighbours[i].id.at,
                                like.neighbours[i].similarity);
    *at += (size_t)snprintf(text + *at, TEXT - *at, "\n");
}

static void tell_all(struct world *world, char *text)
{
    static struct engine_status status;
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list popular;
    struct ask ask = {.k = ITEMS};
    size_t at = 0;

    engine_status(world->engine, &status);
    reader_begin(reader);
    for (uint32_t user = 0; user < USERS; user++)
        tell_user(reader, user_name(user), text, &at);
    for (uint32_t item = 0; item < ITEMS; item++)
        tell_item(reader, item_name(item), text, &at);
    reader_popular(reader, &ask, &popular);
    at += (size_t)snprintf(text + at, TEXT - at, "popular: %s\npairs %" PRIu64 "\n", tell(&popular), status.pairs);
    assert_true(at < TEXT);
    reader_end(reader);
    reader_free(reader);
}

/* ---- random streams ---- */

struct stream {
    struct event events[EVENTS_MAX];
    bool dropped[EVENTS_MAX]; /* of before its user's or its item's last tombstone, or a tombstone */
    size_t len;
};

/* Of what is before event n, what n forgets; nothing if it is no tombstone. */
static void drop(struct stream *stream, size_t n)
{
    const struct event *tombstone = &stream->events[n];

    if (tombstone->kind == EVENT_APPLY)
        return;
    stream->dropped[n] = true;
    for (size_t m = 0; m < n; m++) {
        const struct event *before = &stream->events[m];
        bool user = tombstone->kind == EVENT_USER_GONE;
        if (before->kind == EVENT_APPLY && fr_bytes_equal(user ? before->user : before->item, user ? tombstone->user : tombstone->item))
            stream->dropped[m] = true;
    }
}

static struct stream *stream_of(uint64_t seed, bool items_too)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    uint64_t state = seed;

    assert_non_null(stream);
    stream->len = 50 + draw(&state) % (EVENTS_MAX - 50);
    for (size_t n = 0; n + 1 < stream->len; n++) {
        when_ms when = NOON + (when_ms)n * 60000;
        uint32_t user = (uint32_t)(draw(&state) % (USERS - 1)), item = (uint32_t)(draw(&state) % (ITEMS - 1));
        uint64_t what = draw(&state) % 25;
        stream->events[n] = what == 0                ? gone((int64_t)n, user_name(user), NULL, when)
                            : what == 1 && items_too ? gone((int64_t)n, NULL, item_name(item), when)
                                                     : event((int64_t)n, user_name(user), item_name(item), when);
        drop(stream, n);
    }
    /* The newest event time must be one that nobody forgets: answers are as of it. */
    stream->events[stream->len - 1] =
        event((int64_t)stream->len - 1, user_name(USERS - 1), item_name(ITEMS - 1), NOON + EVENTS_MAX * 60000);
    return stream;
}

static void give_all(struct world *world, const struct stream *stream, bool only_kept, uint64_t *state)
{
    struct event some[EVENTS_MAX];
    size_t len = 0;

    for (size_t n = 0; n < stream->len; n++) {
        if (!only_kept || !stream->dropped[n])
            some[len++] = stream->events[n];
        if (len && (n + 1 == stream->len || draw(state) % 40 == 0)) {
            give(world, some, len);
            len = 0;
        }
    }
    await(world, (int64_t)stream->len);
    await_forgotten(world);
}

/* Names the first line that differs. */
static void assert_same_text(uint64_t seed, const char *when, const char *found, const char *wanted)
{
    while (*found && *found == *wanted)
        found++, wanted++;
    if (*found != *wanted)
        fail_msg("seed %" PRIu64 "%s: found ...%.200s\nwanted ...%.200s", seed, when, found, wanted);
}

static void assert_forgets_exactly(const struct engine_options *options, uint64_t seed, bool items_too)
{
    static char found[TEXT], wanted[TEXT], again[TEXT];
    struct stream *stream = stream_of(seed, items_too);
    struct world world = {.store = store_memory_new(NULL)}, other = {.store = store_memory_new(NULL)};
    uint64_t state = seed ^ 0x5eed;

    begin(&world, options);
    give_all(&world, stream, false, &state);
    tell_all(&world, found);
    begin(&other, options);
    give_all(&other, stream, true, &state);
    tell_all(&other, wanted);
    assert_same_text(seed, "", found, wanted);
    end(&world);
    begin(&world, options);
    await_forgotten(&world);
    tell_all(&world, again);
    assert_same_text(seed, " after a restart", again, wanted);
    end(&world);
    end(&other);
    world.store->ops->close(world.store);
    other.store->ops->close(other.store);
    free(stream);
}

static void what_is_forgotten_was_never_there(void **state)
{
    struct engine_options options = parity();

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        assert_forgets_exactly(&options, seed, true);
}

static void in_product_a_forgotten_user_was_never_there(void **state)
{
    struct engine_options options = product();

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++)
        assert_forgets_exactly(&options, seed, false);
}

/* Three users and the newcomer have one; then one user less. */
static void a_row_that_a_model_keeps_for_a_user_goes_with_her(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();

    (void)state;
    with_user_rows(&options);
    begin(&world, &options);
    town(&world);
    assert_true(features_of(&world) == 4);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1)}, 1);
    await(&world, 7);
    assert_true(features_of(&world) == 3);
    end(&world);
    begin(&world, &options);
    assert_true(features_of(&world) == 3);
    end(&world);
    world.store->ops->close(world.store);
}

static bool count_named(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    const uint64_t nobody = 0;

    (void)row;
    for (size_t i = 0; i < len; i++)
        if (columns[i] == 0 && memcmp(cells[i].at, &nobody, sizeof(nobody))) /* a cell begins with the key */
            ++*(double *)context;
    return true;
}

/* The same as features_of, in the store. */
static double features_stored(struct world *world)
{
    double named = 0;
    const struct state_loader features = {.table = TABLE_FM_FEATURES, .context = &named, .cells = count_named};

    assert_int_equal(state_load(world->store, &features, 1, NULL), FR_OK);
    return named;
}

enum { ROWS_BEFORE = 1, ROWS_AFTER = 2, RUNS_MEANWHILE = 4 };

/*
 * FM runs, and with `how` bob, cat, the newcomer and ann have a feature each, ann one that she has got since she was forgotten and came back. Then
 * users are forgotten, while it runs or not; then it runs again. How many features are left, and also after one more start.
 */
static double features_left(int how, const struct event *forgotten, size_t len)
{
    static struct fm_options fm;
    static const struct engine_model models[] = {{"fm", &fm}};
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    const struct event back[] = {gone(6, "ann", NULL, NOON + 1), event(7, "ann", "apple", NOON + 2)};
    double left[4];

    fm = fm_defaults;
    fm.features_admit = 1;
    options.models = models;
    for (int life = 0; life < 4; life++) {
        options.models_len = life == 1 && !(how & RUNS_MEANWHILE) ? 0 : 1;
        fm.user_rows = how & (life == 0 ? ROWS_BEFORE : ROWS_AFTER);
        begin(&world, &options);
        left[life] = features_of(&world);
        if (life == 0) {
            town(&world);
            give(&world, back, 2);
            await(&world, 8);
        }
        if (life == 1 && len) {
            give(&world, forgotten, len);
            await(&world, 8 + (int64_t)len);
        }
        end(&world);
        assert_true(life < 2 || features_stored(&world) == left[life]); /* though nothing happens any more */
    }
    world.store->ops->close(world.store);
    assert_true(left[2] == left[3]);
    return left[2];
}

/* Whose a row is nobody can tell any more, so all go; but none goes where none is a user's, or nobody was forgotten. */
static void a_row_of_a_user_goes_though_its_model_did_not_run(void **state)
{
    const struct event all[] = {gone(8, "ann", NULL, NOON + 3), gone(9, "bob", NULL, NOON + 3), gone(10, "cat", NULL, NOON + 3)};
    const struct event nobody = gone(8, "nobody", NULL, NOON + 3), cheese = gone(8, NULL, "cheese", NOON + 3);
    const int rows = ROWS_BEFORE | ROWS_AFTER;

    (void)state;
    assert_true(features_left(rows | RUNS_MEANWHILE, all, 3) == 1);
    assert_true(features_left(rows, all, 3) == 0);
    assert_true(features_left(rows | RUNS_MEANWHILE, all, 1) == 3);
    assert_true(features_left(rows, all, 1) == 0); /* no id has a cut-off that had none before */
    assert_true(features_left(ROWS_BEFORE, all, 1) == 0);
    assert_true(features_left(ROWS_BEFORE | RUNS_MEANWHILE, all, 3) == 1);
    assert_true(features_left(0, all, 3) == 1);
    assert_true(features_left(ROWS_AFTER, all, 3) == 1);
    assert_true(features_left(rows, NULL, 0) == 4);
    assert_true(features_left(rows, &cheese, 1) == 4);
    assert_true(features_left(rows | RUNS_MEANWHILE, &nobody, 1) == 4);
}

static void who_is_forgotten_is_not_counted_as_known(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_known(&world, 3, 3);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1), gone(7, NULL, "cheese", NOON + 1), gone(8, "nobody", NULL, NOON + 1)}, 3);
    await(&world, 9);
    assert_known(&world, 2, 2);
    end(&world);
    begin(&world, &options);
    assert_known(&world, 2, 2);
    give(&world, (struct event[]){event(9, "bob", "apple", NOON + 2)}, 1);
    await(&world, 10);
    assert_known(&world, 3, 2);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- for ever ---- */

static void events_of_before_the_tombstone_are_ignored_and_counted_whenever_they_come(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_series *users = fr_series(FR_M_EVENTS_FORGOTTEN, "user", "", ""), *items = fr_series(FR_M_EVENTS_FORGOTTEN, "item", "", "");
    double users_before = fr_series_value(users), items_before = fr_series_value(items);
    struct event late[] = {event(6, "zoe", "apple", NOON), event(7, "bob", "date", NOON), event(8, "zoe", "apple", NOON + 2),
                           event(9, "bob", "date", NOON + 2)};

    (void)state;
    begin(&world, &options);
    town(&world);
    /* Nobody has heard of either; and the same batch brings what is ignored. */
    give(&world, (struct event[]){gone(6, "zoe", NULL, NOON + 1), gone(7, NULL, "date", NOON + 1)}, 2);
    for (int i = 0; i < 4; i++)
        late[i].offset = 8 + i;
    give(&world, late, 4);
    await(&world, 12);
    assert_true(fr_series_value(users) - users_before == 1);
    assert_true(fr_series_value(items) - items_before == 1);
    assert_string_equal(recommend(&world, "zoe", (struct ask){0}), "bread 0.666667 date 0.333333 cheese 0.250000");
    end(&world);
    begin(&world, &options); /* and after a restart */
    give(&world, (struct event[]){event(12, "zoe", "bread", NOON + 1), event(13, "cat", "bread", NOON + 3)}, 2);
    await(&world, 14);
    assert_true(fr_series_value(users) - users_before == 2);
    end(&world);
    world.store->ops->close(world.store);
}

/* So little journal that the pass cannot begin before the next checkpoint, which is an hour away: the stop comes first. */
enum { HOLDERS = 1000 };

/* A world in which "fad", which a thousand hold, has been forgotten and not yet been taken out: with no room for changes the pass waits for
 * a checkpoint. The first one comes by itself, with the events or before them, and one is asked for; no other should come, but one that
 * was asked for too late for the first would: false, and there is nothing to see. */
static bool begin_to_forget_a_fad(struct world *world, const struct engine_options *slow)
{
    static struct event events[HOLDERS + 1];
    static char holders[HOLDERS][8];

    for (int i = 0; i < HOLDERS; i++) {
        snprintf(holders[i], sizeof(holders[i]), "u%d", i);
        events[i] = event(i, holders[i], "fad", NOON);
    }
    events[HOLDERS] = event(HOLDERS, "u0", "bread", NOON);
    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, slow);
    give(world, events, HOLDERS + 1);
    await(world, HOLDERS + 1);
    checkpoint(world);
    give(world, (struct event[]){gone(HOLDERS + 1, NULL, "fad", NOON)}, 1);
    await(world, HOLDERS + 2);
    if (!strcmp(recommend(world, "u7", (struct ask){0}), "bread 0.001000")) /* still because of it */
        return true;
    end(world);
    world->store->ops->close(world->store);
    return false;
}

static void an_item_is_in_no_answer_from_its_tombstone_on_and_a_restart_goes_on_taking_it_out(void **state)
{
    struct world world;
    struct engine_options slow = parity(), options = parity();
    struct fr_err err;
    int tries = 0;

    (void)state;
    slow.uncommitted_mb_max = 0;
    slow.checkpoint_interval = 3600000;
    while (!begin_to_forget_a_fad(&world, &slow))
        assert_true(++tries < 50);
    assert_string_equal(recommend(&world, "zoe", (struct ask){0}), "bread 0.000000 fallback");
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    publish_figures(world.engine);
    assert_true(fr_series_value(FR_SERIES(FR_M_FORGETTING)) == 1);
    assert_string_equal(recommend(&world, "zoe", (struct ask){0}), "bread 0.000000 fallback");
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    await_forgotten(&world);
    assert_string_equal(recommend(&world, "u7", (struct ask){0}), "bread 0.000000 fallback");
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    publish_figures(world.engine);
    assert_true(fr_series_value(FR_SERIES(FR_M_FORGETTING)) == 0);
    assert_string_equal(recommend(&world, "u7", (struct ask){0}), "bread 0.000000 fallback");
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    end(&world);
    world.store->ops->close(world.store);
}

/* The topics are read side by side: a tombstone may be met again when events of after it are learned. */
static void a_tombstone_met_again_takes_nothing_from_those_who_came_since(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1), gone(7, NULL, "bread", NOON + 1), event(8, "bob", "apple", NOON + 2),
                                  event(9, "bob", "bread", NOON + 2)},
         4);
    await(&world, 10);
    await_forgotten(&world);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "bread 0.500000 cheese 0.000000");
    give(&world, (struct event[]){gone(10, "bob", NULL, NOON + 1), gone(11, NULL, "bread", NOON + 1), gone(12, "bob", NULL, NOON)}, 3);
    await(&world, 13);
    assert_int_equal(engine_cutoff(world.engine, false, FR_BYTES("bob")), NOON + 1); /* it never goes back */
    assert_int_equal(engine_cutoff(world.engine, true, FR_BYTES("bread")), NOON + 1);
    assert_true(engine_cutoff(world.engine, true, FR_BYTES("bob")) < 0);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "bread 0.500000 cheese 0.000000");
    give(&world, (struct event[]){gone(13, "bob", NULL, NOON + 2)}, 1);
    await(&world, 14);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "cheese 0.000000");
    end(&world);
    world.store->ops->close(world.store);
}

static void an_id_leaves_no_bytes_in_the_store(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_bytes key, value;

    (void)state;
    begin(&world, &options);
    town(&world);
    give(&world, (struct event[]){event(6, "somebody-in-particular", "apple", NOON), gone(7, "somebody-in-particular", NULL, NOON),
                                  event(8, "ann", "something-in-particular", NOON), gone(9, NULL, "something-in-particular", NOON)},
         4);
    await(&world, 10);
    await_forgotten(&world);
    end(&world);
    struct store_iter *iter = world.store->ops->iterate(world.store, (struct fr_bytes){"", 0});
    while (world.store->ops->next(iter, &key, &value))
        if (memmem(value.at, value.len, "in-particular", 13) && key.at[0] == 's')
            fail_msg("a key of %zu bytes beginning with '%c' has it", key.len, key.at[0]);
    assert_int_equal(world.store->ops->iter_close(iter, NULL), FR_OK);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_forgotten_was_never_there),
        cmocka_unit_test(in_product_a_forgotten_user_was_never_there),
        cmocka_unit_test(a_row_that_a_model_keeps_for_a_user_goes_with_her),
        cmocka_unit_test(a_row_of_a_user_goes_though_its_model_did_not_run),
        cmocka_unit_test(who_is_forgotten_is_not_counted_as_known),
        cmocka_unit_test(events_of_before_the_tombstone_are_ignored_and_counted_whenever_they_come),
        cmocka_unit_test(an_item_is_in_no_answer_from_its_tombstone_on_and_a_restart_goes_on_taking_it_out),
        cmocka_unit_test(a_tombstone_met_again_takes_nothing_from_those_who_came_since),
        cmocka_unit_test(an_id_leaves_no_bytes_in_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
