/*
 * watch_test.c -- who is watched is told of: each event of the user's, known or not, and of what models show later; nobody else is.
 * What is said of items is for everyone who watches.
 */
#include "engine_world.h"
#include "freshet/fm.h"

enum { BUCKETS = 1 << 16 };

static void set_up_world(struct world *world, const struct engine_options *options)
{
    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, options);
    town(world);
    checkpoint(world); /* it has told of the town, too: who watches from here on is not told of that */
}

static void tear_down_world(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

/* Applied, and told. */
static void happens(struct world *world, int64_t offset, const char *user, const char *item)
{
    const struct event one[] = {event(offset, user, item, NOON)};

    give(world, one, 1);
    await(world, offset + 1);
    checkpoint(world); /* watchers are told after the position is shown: the engine is done with the batch */
}

static void the_users_events_alone_are_told(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann")), again = engine_watch(world.engine, FR_BYTES("ann"));
    assert_false(engine_moved(world.engine, &ann)); /* what was before is in the first answer */
    happens(&world, 6, "bob", "dill");
    assert_false(engine_moved(world.engine, &ann));
    happens(&world, 7, "ann", "dill");
    engine_watch_wait(world.engine);
    assert_true(engine_moved(world.engine, &ann));
    assert_false(engine_moved(world.engine, &ann)); /* told once */
    assert_true(engine_moved(world.engine, &again));
    engine_unwatch(world.engine, &again);
    happens(&world, 8, "ann", "egg");
    engine_watch_wait(world.engine);
    assert_true(engine_moved(world.engine, &ann)); /* one leaves, the other stays */
    engine_unwatch(world.engine, &ann);
    happens(&world, 9, "ann", "fig");
    engine_watch_wake(world.engine); /* else there would be nothing to wait for */
    engine_watch_wait(world.engine);
    assert_false(engine_moved(world.engine, &ann));
    tear_down_world(&world);
}

static void a_user_who_is_not_known_yet_is_watched_too(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    struct watched eve = engine_watch(world.engine, FR_BYTES("eve"));
    happens(&world, 6, "eve", "apple");
    engine_watch_wait(world.engine);
    assert_true(engine_moved(world.engine, &eve));
    engine_unwatch(world.engine, &eve);
    tear_down_world(&world);
}

/* Two users of one bucket: both are told of both, until both have left. */
static void users_of_one_bucket_are_told_of_one_another(void **state)
{
    static char names[2][16], others[BUCKETS][8];
    struct engine_options options = product();
    struct world world;

    (void)state;
    for (int i = 0; !names[1][0]; i++) { /* birthdays: after a few hundred */
        char name[16];
        snprintf(name, sizeof(name), "u%d", i);
        char *other = others[dict_hash(fr_bytes_of(name)) % BUCKETS];
        if (*other) {
            strcpy(names[0], other);
            strcpy(names[1], name);
        }
        snprintf(other, 8, "%.7s", name);
    }
    set_up_world(&world, &options);
    struct watched one = engine_watch(world.engine, fr_bytes_of(names[0]));
    happens(&world, 6, names[1], "apple");
    assert_false(engine_moved(world.engine, &one)); /* alone in its bucket, it is not mistaken */
    struct watched two = engine_watch(world.engine, fr_bytes_of(names[1]));
    happens(&world, 7, names[1], "bread");
    assert_true(engine_moved(world.engine, &one));
    assert_true(engine_moved(world.engine, &two));
    engine_unwatch(world.engine, &one);
    happens(&world, 8, names[1], "cheese");
    assert_true(engine_moved(world.engine, &two));
    engine_unwatch(world.engine, &two);
    one = engine_watch(world.engine, fr_bytes_of(names[0]));
    happens(&world, 9, names[1], "dill");
    assert_false(engine_moved(world.engine, &one));
    engine_unwatch(world.engine, &one);
    tear_down_world(&world);
}

static void what_models_show_later_is_told_again(void **state)
{
    static const struct engine_model fm[] = {{"fm", &fm_defaults}};
    struct engine_options options = product();
    struct world world;
    uint64_t deadline = patience();

    (void)state;
    options.models = fm;
    options.models_len = 1;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    uint32_t before = ann.moves;
    happens(&world, 6, "ann", "dill");
    while (engine_moved(world.engine, &ann), ann.moves - before < 2)
        assert_true(fr_mono_ns() < deadline);
    checkpoint(&world);
    engine_moved(world.engine, &ann);
    assert_int_equal(ann.moves - before, 2); /* and that was all */
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

/* ---- the same step by step: the engine is not started, and we are its thread ---- */

static void open_still(struct world *world, const struct engine_options *options)
{
    struct fr_err err;

    *world = (struct world){.store = store_memory_new(NULL)};
    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    assert_int_equal(engine_partition(world->engine, TOPIC, 0, &world->partition, &world->next, &err), FR_OK);
}

static void close_still(struct world *world)
{
    engine_free(world->engine);
    world->store->ops->close(world->store);
}

/* Applied, its position shown, and told; not shown by those who show it later. */
static void apply_one(struct world *world, int64_t offset, const char *user)
{
    static struct event_batch batch;

    batch.len = 1;
    batch.events[0] = event(offset, user, "dill", NOON);
    batch.events[0].partition = world->partition;
    apply_batch(world->engine, &batch);
    assert_true(models_unpublished(world->engine));
}

static void who_begins_to_watch_before_it_is_shown_is_told_when_it_is(void **state)
{
    static const struct engine_model fm[] = {{"fm", &fm_defaults}};
    struct engine_options options = product();
    struct world world;

    (void)state;
    options.models = fm;
    options.models_len = 1;
    open_still(&world, &options);
    apply_one(&world, 0, "ann");
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann")), bob = engine_watch(world.engine, FR_BYTES("bob"));
    assert_false(engine_moved(world.engine, &ann)); /* here the first list is asked for: of what was shown before */
    models_publish(world.engine);
    assert_true(engine_moved(world.engine, &ann));
    assert_false(engine_moved(world.engine, &bob));
    apply_one(&world, 1, "bob"); /* and it is told once */
    models_publish(world.engine);
    assert_false(engine_moved(world.engine, &ann));
    engine_unwatch(world.engine, &ann);
    engine_unwatch(world.engine, &bob);
    close_still(&world);
}

/* A model that never has shown all, as one with a large catalogue while events keep coming. */
static bool always_behind(const struct model *model)
{
    (void)model;
    return true;
}

static void nothing_learned(struct model *model, const struct touch *touch)
{
    (void)model;
    (void)touch;
}

static void nothing_extended(struct model *model, uint32_t items)
{
    (void)model;
    (void)items;
}

static void nothing_closed(struct model *model)
{
    (void)model;
}

static void what_is_shown_is_told_though_a_model_is_always_behind(void **state)
{
    static const struct engine_model fm[] = {{"fm", &fm_defaults}};
    static const struct model_ops slow = {.name = "slow", .learn = nothing_learned, .extend = nothing_extended, .close = nothing_closed, .behind = always_behind};
    struct engine_options options = product();
    struct world world;

    (void)state;
    options.models = fm;
    options.models_len = 1;
    open_still(&world, &options);
    world.engine->learners[world.engine->learners_len++] = (struct learner){&slow, NULL};
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    for (int64_t offset = 0; offset < 2; offset++) {
        apply_one(&world, offset, "ann");
        assert_true(engine_moved(world.engine, &ann)); /* of the event itself */
        uint64_t deadline = patience();
        do { /* at once, or when it is long enough since the last time */
            models_publish(world.engine);
            assert_true(models_unpublished(world.engine) && fr_mono_ns() < deadline);
        } while (!engine_moved(world.engine, &ann));
    }
    engine_unwatch(world.engine, &ann);
    close_still(&world);
}

/* ---- what is said of items and users ---- */

static void happens_to(struct world *world, struct event said)
{
    give(world, &said, 1);
    await(world, said.offset + 1);
    checkpoint(world);
}

static void say_item(struct world *world, int64_t offset, const char *id, struct item_said item)
{
    struct fr_writer out;

    fr_writer_init(&out, 0);
    catalogue_item_write(&out, &item);
    happens_to(world, (struct event){
                          .kind = EVENT_ITEM, .offset = offset, .logged = NOON, .item = fr_bytes_of(id), .said = fr_written(&out)});
    fr_writer_release(&out);
}

static void say_user(struct world *world, int64_t offset, const char *id)
{
    const struct features_said said = {1, {{FR_BYTES("city"), FR_BYTES("Ulm")}}};
    struct fr_writer out;

    fr_writer_init(&out, 0);
    catalogue_user_write(&out, &said);
    happens_to(world, (struct event){
                          .kind = EVENT_USER, .offset = offset, .logged = NOON, .user = fr_bytes_of(id), .said = fr_written(&out)});
    fr_writer_release(&out);
}

static void await_moved(struct world *world, struct watched *watched)
{
    uint64_t deadline = fr_mono_ns() + 20000000000ULL;

    while (!engine_moved(world->engine, watched)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

static void a_record_of_the_user_is_told_to_that_user_alone(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    say_user(&world, 6, "bob");
    assert_false(engine_moved(world.engine, &ann));
    say_user(&world, 7, "ann");
    assert_true(engine_moved(world.engine, &ann));
    engine_watch_wait(world.engine); /* tidings are up */
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

/* Each change in a world of its own: what comes within a second of another waits for that to pass. */
static void what_changes_the_items_is_told_to_everyone(void **state)
{
    const struct event gone = {.kind = EVENT_ITEM_GONE, .offset = 7, .logged = NOON, .item = FR_BYTES("apple")};
    const struct item_said plain = {.title = FR_BYTES("An apple")},
                           changes[] = {
                               {.hidden = true},
                               {.from = NOON},
                               {.until = NOON},
                               {.owner = FR_BYTES("ann")},
                               {.categories_len = 1, .categories = {FR_BYTES("fruit")}},
                               {.features = {1, {{FR_BYTES("sort"), FR_BYTES("Boskoop")}}}},
                           };
    enum { CHANGES = sizeof(changes) / sizeof(*changes) };
    struct engine_options options = product();

    (void)state;
    for (size_t i = 0; i <= CHANGES; i++) {
        struct world world;
        set_up_world(&world, &options);
        say_item(&world, 6, "apple", plain);
        struct watched ann = engine_watch(world.engine, FR_BYTES("ann")), eve = engine_watch(world.engine, FR_BYTES("eve"));
        if (i < CHANGES)
            say_item(&world, 7, "apple", changes[i]);
        else
            happens_to(&world, gone);
        assert_true(engine_moved(world.engine, &ann));
        assert_true(engine_moved(world.engine, &eve));
        engine_watch_wait(world.engine); /* tidings are up */
        engine_unwatch(world.engine, &ann);
        engine_unwatch(world.engine, &eve);
        tear_down_world(&world);
    }
}

/* The same said again, and another title, change no list. */
static void what_changes_no_list_is_told_to_nobody(void **state)
{
    struct engine_options options = product();
    struct item_said item = {.hidden = true, .categories_len = 1, .categories = {FR_BYTES("fruit")}};
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    say_item(&world, 6, "apple", item);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    say_item(&world, 7, "apple", item);
    item.title = FR_BYTES("An apple");
    say_item(&world, 8, "apple", item);
    assert_false(engine_moved(world.engine, &ann));
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

/* A catalogue that comes record by record: everyone is told once a second at most, and of the last of it for certain. */
static void a_whole_catalogue_is_told_once_a_second(void **state)
{
    enum { RECORDS = 300 };
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    uint32_t before = ann.everyones;
    uint64_t begin = fr_mono_ns();
    for (int64_t i = 0; i < RECORDS; i++)
        say_item(&world, 6 + i, "apple", (struct item_said){.hidden = i % 2 == 0});
    engine_moved(world.engine, &ann);
    assert_in_range(ann.everyones - before, 1, 1 + (fr_mono_ns() - begin) / 1000000000);
    say_item(&world, 6 + RECORDS, "apple", (struct item_said){.until = NOON});
    await_moved(&world, &ann);
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

/* Whose history held it is told when it has left that; an item that nobody had changes no more. */
static void who_had_a_forgotten_item_is_told_when_it_has_left(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    uint32_t before = ann.moves;
    happens_to(&world, (struct event){.kind = EVENT_ITEM_GONE, .offset = 6, .logged = NOON, .item = FR_BYTES("apple")});
    while (await_moved(&world, &ann), ann.moves == before)
        ;
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

static void what_models_show_later_of_items_is_told_once_more(void **state)
{
    static const struct engine_model fm[] = {{"fm", &fm_defaults}};
    struct engine_options options = product();
    struct world world;

    (void)state;
    options.models = fm;
    options.models_len = 1;
    set_up_world(&world, &options);
    struct watched ann = engine_watch(world.engine, FR_BYTES("ann"));
    uint32_t before = ann.everyones;
    say_item(&world, 6, "fig", (struct item_said){.categories_len = 1, .categories = {FR_BYTES("fruit")}});
    while (await_moved(&world, &ann), ann.everyones - before < 2)
        ;
    happens(&world, 7, "bob", "fig"); /* what they show from here on is of other people's events */
    checkpoint(&world);
    assert_false(engine_moved(world.engine, &ann));
    engine_unwatch(world.engine, &ann);
    tear_down_world(&world);
}

/* ---- whoever begins to watch while an event comes has it in the first answer, or is told ---- */

enum { ROUNDS = 300 };
static pthread_barrier_t step;
static _Atomic int missed, in_the_first, after_it;

static uint64_t events_of_ann(struct reader *reader)
{
    struct user_facts facts;

    reader_begin(reader);
    assert_int_equal(reader_user(reader, FR_BYTES("ann"), &facts, NULL), FR_OK);
    reader_end(reader);
    return facts.events;
}

static void watch_and_ask(void *arg)
{
    struct world *world = arg;
    struct reader *reader = reader_new(world->engine);

    for (uint64_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&step);
        struct watched ann = engine_watch(world->engine, FR_BYTES("ann"));
        uint64_t seen = events_of_ann(reader);
        pthread_barrier_wait(&step);
        bool moved = engine_moved(world->engine, &ann);
        atomic_fetch_add(&missed, !moved && seen != round + 3);
        atomic_fetch_add(seen == round + 3 ? &in_the_first : &after_it, 1);
        engine_unwatch(world->engine, &ann);
    }
    reader_free(reader);
}

static void who_begins_to_watch_misses_nothing(void **state)
{
    struct engine_options options = product();
    struct world world;

    (void)state;
    set_up_world(&world, &options); /* two of its events are ann's */
    pthread_barrier_init(&step, NULL, 2);
    struct fr_thread *watcher = fr_thread_start("watcher", watch_and_ask, &world);
    for (int64_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&step);
        happens(&world, 6 + round, "ann", round % 2 ? "apple" : "bread");
        pthread_barrier_wait(&step);
    }
    fr_thread_join(watcher);
    pthread_barrier_destroy(&step);
    assert_int_equal(atomic_load(&missed), 0);
    assert_int_equal(atomic_load(&in_the_first) + atomic_load(&after_it), ROUNDS);
    tear_down_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_users_events_alone_are_told),
        cmocka_unit_test(a_user_who_is_not_known_yet_is_watched_too),
        cmocka_unit_test(users_of_one_bucket_are_told_of_one_another),
        cmocka_unit_test(what_models_show_later_is_told_again),
        cmocka_unit_test(who_begins_to_watch_before_it_is_shown_is_told_when_it_is),
        cmocka_unit_test(what_is_shown_is_told_though_a_model_is_always_behind),
        cmocka_unit_test(a_record_of_the_user_is_told_to_that_user_alone),
        cmocka_unit_test(what_changes_the_items_is_told_to_everyone),
        cmocka_unit_test(what_changes_no_list_is_told_to_nobody),
        cmocka_unit_test(a_whole_catalogue_is_told_once_a_second),
        cmocka_unit_test(who_had_a_forgotten_item_is_told_when_it_has_left),
        cmocka_unit_test(what_models_show_later_of_items_is_told_once_more),
        cmocka_unit_test(who_begins_to_watch_misses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
