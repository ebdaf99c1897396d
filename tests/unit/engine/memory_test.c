/*
 * memory_test.c -- the two limits of memory, with a reading of it that the test makes up; other ceilings of the engine.
 */
#include "engine_world.h"

#include "freshet/format.h"

enum { SOFT = 1000, HARD = 1600 };

static _Atomic uint64_t held; /* bytes the process seems to hold */
static _Atomic int looks;      /* how often that was read */

static uint64_t read_held(void *context)
{
    (void)context;
    looks++;
    return held;
}

static struct engine_options limited(void)
{
    struct engine_options options = product();

    options.memory_soft = SOFT;
    options.memory_hard = HARD;
    options.memory_held = read_held;
    return options;
}

static void wait_until(bool (*holds)(const struct world *world), const struct world *world)
{
    uint64_t deadline = patience();

    while (!holds(world)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

static bool is_closing(const struct world *world)
{
    return memory_full(world->engine);
}

/* Positions are shown first, then the events are counted. */
static bool seven_are_counted(const struct world *world)
{
    return atomic_load(&world->engine->events) == 7;
}

/* Feed is held first, then it is told. */
static bool is_told_as_held(const struct world *world)
{
    return engine_held(world->engine) && fr_series_value(fr_series(FR_M_INGEST_HELD, "memory", "", "")) == 1;
}

static bool is_free(const struct world *world)
{
    return !engine_held(world->engine);
}

/* As feed does it: with the record if the batch asks for it. */
static bool give_one(struct world *world, struct event one)
{
    struct reject record = {.key = one.user, .value = FR_BYTES("the record"), .has_key = true, .has_value = true};
    struct event_batch *batch = engine_batch_take(world->engine, PATIENCE_MS);
    bool whole;

    assert_non_null(batch);
    whole = engine_batch_wants_record(world->engine, batch, one.kind);
    one.partition = world->partition;
    one.reject = whole ? &record : NULL;
    batch->events[0] = one;
    batch->len = 1;
    engine_batch_give(world->engine, batch);
    await(world, one.offset + 1);
    return whole;
}

static uint32_t users(const struct world *world)
{
    return dict_len(world->engine->users);
}

/* The next dead letter is this record. */
static void assert_letter(struct world *world, int64_t offset, const char *key, const char *message)
{
    const struct dead_letter *letter;

    checkpoint(world);
    letter = engine_outbox_take(world->engine, PATIENCE_MS);
    assert_non_null(letter);
    assert_int_equal(letter->offset, offset);
    assert_true(fr_bytes_equal(letter->reason, FR_BYTES("capacity")));
    assert_true(fr_bytes_equal(letter->key, fr_bytes_of(key)));
    assert_true(fr_bytes_equal(letter->value, FR_BYTES("the record")));
    assert_true(fr_bytes_equal(letter->message, fr_bytes_of(message)));
    engine_outbox_done(world->engine, letter->id);
}

static void start(struct world *world, struct store *store, const struct engine_options *options)
{
    held = 0;
    *world = (struct world){.store = store};
    begin(world, options);
}

static void finish(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

static void crash(struct world *world, struct store **ret_store)
{
    *ret_store = store_memory_after_power_cut(world->store);
    finish(world); /* what it still writes goes to the old store */
}

/* ---- soft ---- */

static void at_the_soft_limit_no_new_users_and_items_are_let_in(void **state)
{
    struct engine_options options = limited();
    struct world world;

    (void)state;
    start(&world, store_memory_new(NULL), &options);
    town(&world);
    assert_true(fr_series_value(FR_SERIES(FR_M_ADMISSION_CLOSED)) == 0);
    held = SOFT;
    wait_until(is_closing, &world);
    assert_true(give_one(&world, event(6, "dan", "apple", NOON)));
    assert_int_equal(users(&world), 3);
    assert_letter(&world, 6, "dan", "user_id is new and limits.memory_soft is reached");
    give_one(&world, event(7, "ann", "dates", NOON));
    assert_letter(&world, 7, "ann", "item_id is new and limits.memory_soft is reached");
    give_one(&world, event(8, "cat", "apple", NOON)); /* both are known */
    wait_until(seven_are_counted, &world);
    assert_true(fr_series_value(FR_SERIES(FR_M_ADMISSION_CLOSED)) == 1);
    held = 0; /* what is decided is decided */
    give_one(&world, event(9, "eve", "apple", NOON));
    assert_letter(&world, 9, "eve", "user_id is new and limits.memory_soft is reached");
    finish(&world);
}

static void the_decision_is_in_the_store_with_the_positions_it_was_taken_at(void **state)
{
    struct engine_options options = limited();
    struct store *before, *after;
    struct world world;

    (void)state;
    start(&world, store_memory_new(NULL), &options);
    town(&world);
    checkpoint(&world);
    before = store_memory_after_power_cut(world.store);
    held = SOFT;
    wait_until(is_closing, &world);
    give_one(&world, event(6, "dan", "apple", NOON));
    checkpoint(&world);
    crash(&world, &after);

    start(&world, after, &options); /* memory is no matter: it was decided */
    assert_int_equal(world.next, 7);
    give_one(&world, event(7, "eve", "apple", NOON));
    assert_int_equal(users(&world), 3);
    finish(&world);

    start(&world, before,
          &options); /* a crash before that checkpoint: the decision is gone with what followed from it */
    assert_int_equal(world.next, 6);
    give_one(&world, event(6, "dan", "apple", NOON));
    assert_int_equal(users(&world), 4);
    assert_null(engine_outbox_take(world.engine, 0));
    finish(&world);
}

static void a_higher_limit_or_none_lets_them_in_again_for_good(void **state)
{
    struct engine_options options = limited();
    struct store *after;
    struct world world;

    (void)state;
    start(&world, store_memory_new(NULL), &options);
    town(&world);
    held = SOFT;
    wait_until(is_closing, &world);
    give_one(&world, event(6, "dan", "apple", NOON));
    checkpoint(&world);
    crash(&world, &after);

    options.memory_soft = SOFT + 1;
    start(&world, after, &options);
    give_one(&world, event(7, "eve", "apple", NOON));
    assert_int_equal(users(&world), 4);
    checkpoint(&world);
    crash(&world, &after);

    options.memory_soft = SOFT; /* the old limit again: the decision was taken back, it would have to be taken anew */
    start(&world, after, &options);
    give_one(&world, event(8, "fay", "apple", NOON));
    assert_int_equal(users(&world), 5);
    held = SOFT;
    wait_until(is_closing, &world);
    give_one(&world, event(9, "gus", "apple", NOON));
    assert_int_equal(users(&world), 5);
    checkpoint(&world);
    crash(&world, &after);

    options.memory_soft = 0;
    start(&world, after, &options);
    give_one(&world, event(10, "gus", "apple", NOON));
    assert_int_equal(users(&world), 6);
    finish(&world);
}

/* A dead letter must carry its record, and this batch was filled before anybody knew that it would be needed. */
static void a_batch_without_records_is_applied_as_before(void **state)
{
    struct engine_options options = limited();
    struct event one = event(6, "dan", "apple", NOON);
    struct event_batch *batch;
    struct world world;

    (void)state;
    start(&world, store_memory_new(NULL), &options);
    town(&world);
    batch = engine_batch_take(world.engine, PATIENCE_MS);
    assert_false(batch->whole);
    held = SOFT;
    wait_until(is_closing, &world);
    one.partition = world.partition;
    batch->events[0] = one;
    batch->len = 1;
    engine_batch_give(world.engine, batch);
    await(&world, 7);
    assert_int_equal(users(&world), 4);
    assert_true(give_one(&world, event(7, "eve", "apple", NOON)));
    assert_int_equal(users(&world), 4);
    assert_letter(&world, 7, "eve", "user_id is new and limits.memory_soft is reached");
    finish(&world);
}

/* ---- other bounds: whose record is carried ---- */

enum { NEWCOMERS = 9000, AT_ONCE = 1000 };

/* So many new users, in batches that are taken, given and applied meanwhile. */
static void newcomers(struct world *world)
{
    static char ids[NEWCOMERS][8];
    static struct event events[AT_ONCE];

    for (int64_t n = 0; n < NEWCOMERS; n++) {
        snprintf(ids[n], sizeof(ids[n]), "n%d", (int)n);
        events[n % AT_ONCE] = event(n, ids[n], "apple", NOON);
        if ((n + 1) % AT_ONCE)
            continue;
        give(world, events, AT_ONCE);
        await(world, n + 1);
    }
}

/* One feed has its batch and waits for a record; others bring more users meanwhile than all batches that there are could hold. */
static void a_batch_that_waited_carries_the_records_that_have_no_room_by_then(void **state)
{
    struct engine_options options = product();
    struct event late = event(NEWCOMERS, "late", "apple", NOON);
    const struct reject record = {.key = late.user, .value = FR_BYTES("the record"), .has_key = true, .has_value = true};
    struct world world;

    (void)state;
    options.users_max = NEWCOMERS;
    start(&world, store_memory_new(NULL), &options);
    struct event_batch *slow = engine_batch_take(world.engine, PATIENCE_MS);
    assert_false(slow->whole);
    newcomers(&world);
    assert_true(engine_batch_wants_record(world.engine, slow, EVENT_APPLY));
    assert_true(slow->whole); /* none of it has come without */
    assert_int_equal(atomic_load(&world.engine->batches_bare), 0);
    late.partition = world.partition;
    late.reject = &record;
    slow->events[0] = late;
    slow->len = 1;
    engine_batch_give(world.engine, slow);
    await(&world, NEWCOMERS + 1);
    assert_letter(&world, NEWCOMERS, "late", "user_id is new and engine.users_max users have been known");
    finish(&world);
}

/* The first of its records has come without, so it does not count as whole, whatever the others carry. */
static void a_batch_that_is_bare_in_part_stays_so(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    options.users_max = NEWCOMERS;
    start(&world, store_memory_new(NULL), &options);
    struct event_batch *slow = engine_batch_take(world.engine, PATIENCE_MS);
    assert_false(engine_batch_wants_record(world.engine, slow, EVENT_APPLY));
    newcomers(&world);
    assert_true(engine_batch_wants_record(world.engine, slow, EVENT_APPLY));
    assert_false(slow->whole);
    assert_int_equal(atomic_load(&world.engine->batches_bare), 1);
    engine_batch_give(world.engine, slow);
    uint64_t given = engine_given(world.engine);
    for (uint64_t deadline = patience(); !engine_applied(world.engine, given); sched_yield())
        assert_true(fr_mono_ns() < deadline);
    finish(&world); /* joins the engine: what it gives back is counted */
}

/* A head that says that two more items have numbers. */
static void who_has_had_too_many_items_gets_the_whole_record_back(void **state)
{
    struct engine_options options = product();
    struct fr_writer head;
    struct world world = {.store = store_memory_new(NULL)};
    struct fr_err err;

    (void)state;
    fr_writer_init(&head, 0);
    fr_put_u32(&head, UINT32_MAX - 2);
    fr_put_u64(&head, UINT32_MAX - 2);
    fr_put_u64(&head, (uint64_t)NOON);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    histories_extend(world.engine->histories, 1);
    assert_int_equal(dict_add(world.engine->users, FR_BYTES("eve"), dict_hash(FR_BYTES("eve"))), 0);
    journal_put(world.engine->journal, TABLE_USERS, 0, 0, "eve", 3);
    journal_put(world.engine->journal, TABLE_HISTORY, 0, COLUMN_HEAD, head.at, head.len);
    fr_writer_release(&head);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    end(&world);
    begin(&world, &options);
    give_one(&world, event(0, "eve", "apple", NOON));
    give_one(&world, event(1, "eve", "bread", NOON));
    give_one(&world, event(2, "eve", "cheese", NOON));
    assert_letter(&world, 2, "eve", "user_id has had 4294967295 items, and sequence numbers end there");
    finish(&world);
}

/* ---- hard ---- */

static void at_the_hard_limit_ingest_stands_still_and_questions_go_on(void **state)
{
    struct engine_options options = limited();
    struct world world;

    (void)state;
    options.memory_soft = 0;
    start(&world, store_memory_new(NULL), &options);
    town(&world);
    held = HARD;
    wait_until(is_told_as_held, &world);
    assert_null(engine_batch_take(world.engine, 0));
    assert_string_not_equal(recommend(&world, "ann", (struct ask){.k = 1}), "");
    held = HARD - HARD / 16; /* not yet free enough: else it would come and go with every batch */
    checkpoint(&world);      /* goes on, too */
    for (int before = looks; looks < before + 3;) /* the second one read this, and was acted upon before the third */
        sched_yield();
    assert_null(engine_batch_take(world.engine, 0));
    held = HARD - HARD / 16 - 1;
    wait_until(is_free, &world);
    give_one(&world, event(6, "dan", "apple", NOON));
    assert_int_equal(users(&world), 4);
    assert_true(fr_series_value(fr_series(FR_M_INGEST_HELD, "memory", "", "")) == 0);
    finish(&world);
}

/* ---- while syncs fail ---- */

static size_t freezes_kept(struct world *world)
{
    size_t len = 0;

    pthread_mutex_lock(&world->engine->lock);
    for (const struct freeze *freeze = world->engine->freezes; freeze; freeze = freeze->after)
        len++;
    pthread_mutex_unlock(&world->engine->lock);
    return len;
}

static int64_t durable(struct world *world)
{
    return atomic_load(&partition_at(world->engine, world->partition)->durable);
}

/* Each write keeps its batch and the positions it stands for until it is synced; when many wait, the sync does not. */
static void what_waits_for_a_sync_is_bounded_and_the_next_sync_covers_it(void **state)
{
    struct engine_options options = product();
    struct world world;
    enum { ROUNDS = FREEZES_MAX + 30, WAIT_MAX = 18 }; /* 16 written, one with the checkpoint, one given */

    (void)state;
    options.wal_sync_interval = 3600000; /* it does not come by itself */
    start(&world, store_memory_new(NULL), &options);
    for (int64_t i = 0; i < ROUNDS; i++) {
        uint64_t written = checkpoint_written(world.engine->checkpoint), deadline = patience();
        give_one(&world, event(i, "ann", i % 2 ? "apple" : "bread", NOON + i));
        while (checkpoint_written(world.engine->checkpoint) == written)
            assert_true(fr_mono_ns() < deadline);
        assert_in_range(freezes_kept(&world), 0, WAIT_MAX);
    }
    assert_in_range(durable(&world), ROUNDS - WAIT_MAX, ROUNDS);
    checkpoint(&world);
    assert_int_equal(freezes_kept(&world), 0);
    assert_int_equal(durable(&world), ROUNDS);
    finish(&world);
}

/* ---- partitions ---- */

/* All places are taken by one and the same partition: making 4,096 takes seconds. */
static void one_partition_too_many_is_refused_and_the_others_go_on(void **state)
{
    struct engine_options options = product();
    struct world world;
    struct fr_err err;
    uint32_t index;
    int64_t next;

    (void)state;
    start(&world, store_memory_new(NULL), &options);
    for (uint32_t i = 1; i < PARTITIONS_MAX; i++)
        world.engine->partitions[i] = world.engine->partitions[0];
    atomic_store(&world.engine->partitions_len, PARTITIONS_MAX);
    assert_int_equal(engine_partition(world.engine, TOPIC, 4096, &index, &next, &err), FR_LIMIT);
    assert_string_equal(err.text, "partition 4096 of 'events' is one more than 4096");
    assert_int_equal(engine_partition(world.engine, TOPIC, 0, &index, &next, &err), FR_OK); /* it is known */
    give_one(&world, event(0, "ann", "apple", NOON));
    assert_true(engine_stop(world.engine, &err));
    atomic_store(&world.engine->partitions_len, 1);
    for (uint32_t i = 1; i < PARTITIONS_MAX; i++)
        world.engine->partitions[i] = NULL;
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_soft_limit_no_new_users_and_items_are_let_in),
        cmocka_unit_test(the_decision_is_in_the_store_with_the_positions_it_was_taken_at),
        cmocka_unit_test(a_higher_limit_or_none_lets_them_in_again_for_good),
        cmocka_unit_test(a_batch_without_records_is_applied_as_before),
        cmocka_unit_test(a_batch_that_waited_carries_the_records_that_have_no_room_by_then),
        cmocka_unit_test(a_batch_that_is_bare_in_part_stays_so),
        cmocka_unit_test(who_has_had_too_many_items_gets_the_whole_record_back),
        cmocka_unit_test(at_the_hard_limit_ingest_stands_still_and_questions_go_on),
        cmocka_unit_test(one_partition_too_many_is_refused_and_the_others_go_on),
        cmocka_unit_test(what_waits_for_a_sync_is_bounded_and_the_next_sync_covers_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
