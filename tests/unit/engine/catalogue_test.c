/*
 * catalogue_test.c -- records of the compacted topics in the engine: what they do to answers, what is there after a restart, what is
 * refused, and readers beside a writer.
 */
#include "engine_world.h"

#include <pthread.h>

static when_ms now_ms = 1000;

static when_ms clock_now(void)
{
    return now_ms;
}

static struct engine_options shop_options(void)
{
    struct engine_options options = product();

    options.clock = clock_now;
    return options;
}

/* ---- records ---- */

static struct fr_writer written[16]; /* by offset */

static struct event say_item(int64_t offset, const char *id, const struct item_said *item)
{
    struct fr_writer *out = &written[offset % 16];

    fr_writer_init(out, 0);
    catalogue_item_write(out, item);
    return (struct event){
        .kind = EVENT_ITEM, .offset = offset, .logged = NOON, .item = fr_bytes_of(id), .said = fr_written(out)};
}

static struct event say_user(int64_t offset, const char *id, const char *name, const char *value)
{
    struct fr_writer *out = &written[offset % 16];
    struct features_said features = {0};

    features_said_add(&features, fr_bytes_of(name), fr_bytes_of(value));
    fr_writer_init(out, 0);
    catalogue_user_write(out, &features);
    return (struct event){
        .kind = EVENT_USER, .offset = offset, .logged = NOON, .user = fr_bytes_of(id), .said = fr_written(out)};
}

/* Gives one record and waits until it is applied. */
static void tell_engine(struct world *world, struct event event)
{
    give(world, &event, 1);
    await(world, event.offset + 1);
    if (event.said.at)
        fr_writer_release(&written[event.offset % 16]);
}

/* As feed does it: with the record if it is asked for. */
static void tell_as_feed(struct world *world, struct event event, const struct reject *record)
{
    struct event_batch *batch = engine_batch_take(world->engine, PATIENCE_MS);

    assert_non_null(batch);
    if (engine_batch_wants_record(world->engine, batch, event.kind))
        event.reject = record;
    event.partition = world->partition;
    batch->events[0] = event;
    batch->len = 1;
    engine_batch_give(world->engine, batch);
    await(world, event.offset + 1);
    fr_writer_release(&written[event.offset % 16]);
}

static uint64_t users_of_item(struct world *world, const char *id, const char **ret_title)
{
    static char title[64];
    struct reader *reader = reader_new(world->engine);
    struct item_facts facts;
    struct fr_err err;

    reader_begin(reader);
    assert_int_equal(reader_item(reader, fr_bytes_of(id), &facts, &err), FR_OK);
    snprintf(title, sizeof(title), "%.*s", facts.said ? (int)facts.said->title.len : 0, facts.said ? facts.said->title.at : "");
    *ret_title = facts.said ? title : NULL;
    reader_end(reader);
    reader_free(reader);
    return facts.users;
}

static void restart(struct world *world, const struct engine_options *options)
{
    end(world);
    begin(world, options);
}

/* ---- answers ---- */

static void hidden_is_hidden_in_the_next_question_and_after_a_restart(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    const char *title;

    (void)state;
    begin(&world, &options);
    town(&world);
    assert_non_null(strstr(recommend(&world, "ann", (struct ask){0}), "cheese"));
    tell_engine(&world, say_item(6, "cheese", &(struct item_said){.hidden = true, .title = FR_BYTES("Brie")}));
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "");
    restart(&world, &options);
    assert_int_equal(world.next, 7);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "");
    assert_int_equal(users_of_item(&world, "cheese", &title), 2);
    assert_string_equal(title, "Brie");
    end(&world);
    world.store->ops->close(world.store);
}

/* Of the handle that had the id nothing is left; the id is a new item's. What was said before the tombstone counts for nothing, when
 * it is read again. */
static void an_item_that_is_gone_comes_back_as_another(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    struct fr_bytes red = FR_BYTES("red");
    const struct item_said item = {.title = FR_BYTES("Brie"), .categories_len = 1, .categories = {red}};
    struct ask reds = {.any = &red, .any_len = 1};
    const char *title;

    (void)state;
    begin(&world, &options);
    town(&world);
    tell_engine(&world, say_item(6, "cheese", &item));
    assert_non_null(strstr(recommend(&world, "ann", reds), "cheese"));
    tell_engine(&world, (struct event){.kind = EVENT_ITEM_GONE, .offset = 7, .logged = NOON + 1, .item = FR_BYTES("cheese")});
    struct event old = say_item(8, "cheese", &item);
    old.logged = NOON;
    tell_engine(&world, old);
    for (int round = 0; round < 2; round++) {
        struct reader *reader = reader_new(world.engine);
        struct item_facts facts;
        reader_begin(reader);
        assert_int_equal(reader_item(reader, FR_BYTES("cheese"), &facts, NULL), FR_NOT_FOUND);
        reader_end(reader);
        reader_free(reader);
        assert_string_equal(recommend(&world, "ann", reds), "");
        assert_int_equal(catalogue_items(world.engine->catalogue), 0); /* nor is it kept for nobody */
        restart(&world, &options);
    }
    struct event new = say_item(9, "cheese", &item);
    new.logged = NOON + 1; /* the same millisecond, but behind it in the log */
    tell_engine(&world, new);
    give(&world, &(struct event){.kind = EVENT_APPLY, .offset = 10, .logged = NOON + 2, .user = FR_BYTES("bob"), .item = FR_BYTES("cheese"),
                                 .when = NOON, .weight = 1}, 1);
    await(&world, 11);
    assert_int_equal(users_of_item(&world, "cheese", &title), 1);
    assert_string_equal(title, "Brie");
    assert_non_null(strstr(recommend(&world, "ann", reds), "cheese"));
    end(&world);
    world.store->ops->close(world.store);
}

static void availability_goes_by_the_clock_handed_in(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();

    (void)state;
    begin(&world, &options);
    town(&world);
    tell_engine(&world, say_item(6, "cheese", &(struct item_said){.from = 1000, .until = 2000}));
    for (now_ms = 999; now_ms <= 2001; now_ms += now_ms == 1000 ? 999 : 1) {
        bool there = strstr(recommend(&world, "ann", (struct ask){0}), "cheese");
        assert_int_equal(there, now_ms >= 1000 && now_ms < 2000);
    }
    now_ms = 1000;
    end(&world);
    world.store->ops->close(world.store);
}

static void owners_are_not_shown_their_own(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();

    (void)state;
    begin(&world, &options);
    town(&world);
    tell_engine(&world, say_item(6, "cheese", &(struct item_said){.owner = FR_BYTES("ann")}));
    assert_null(strstr(recommend(&world, "ann", (struct ask){0}), "cheese"));
    assert_non_null(strstr(recommend(&world, "dan", (struct ask){0}), "cheese")); /* nobody knows dan */
    end(&world);
    world.store->ops->close(world.store);
}

/* An item is known once either topic has named it, a user likewise. */
static const char *excluded(struct world *world, struct ask ask, const char *user, const char *item)
{
    static char text[256];
    struct reader *reader = reader_new(world->engine);
    struct explanation explanation;
    size_t at = 0;

    ask.user = fr_bytes_of(user);
    reader_begin(reader);
    reader_explain(reader, &ask, fr_bytes_of(item), &explanation);
    text[0] = '\0';
    for (size_t i = 0; i < explanation.excluded_by_len; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? ", " : "", explanation.excluded_by[i]);
    assert_int_equal(explanation.rank == 0, at && strcmp(text, "no evidence") != 0);
    reader_end(reader);
    reader_free(reader);
    return text;
}

static void why_an_item_is_left_out_is_told(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    const struct fr_bytes dairy[] = {FR_BYTES("dairy")}, fruit[] = {FR_BYTES("fruit")}, cheese[] = {FR_BYTES("cheese")};
    const struct ask none = {.k = 5}, only_fruit = {.k = 5, .any = fruit, .any_len = 1}, no_dairy = {.k = 5, .none = dairy, .none_len = 1},
                     not_cheese = {.k = 5, .exclude = cheese, .exclude_len = 1}, only_dairy = {.k = 5, .any = dairy, .any_len = 1};
    struct item_said said = {.categories_len = 1, .categories = {FR_BYTES("dairy")}};

    (void)state;
    now_ms = 1000;
    begin(&world, &options);
    town(&world);
    assert_string_equal(excluded(&world, none, "ann", "cheese"), "");
    assert_string_equal(excluded(&world, none, "ann", "apple"), "seen");
    assert_string_equal(excluded(&world, none, "ann", "nothing"), "unknown item");
    assert_string_equal(excluded(&world, not_cheese, "ann", "cheese"), "filter");
    assert_string_equal(excluded(&world, only_fruit, "ann", "cheese"), "filter"); /* nothing is said of it */
    tell_engine(&world, say_item(6, "cheese", &said));
    assert_string_equal(excluded(&world, only_fruit, "ann", "cheese"), "filter");
    assert_string_equal(excluded(&world, no_dairy, "ann", "cheese"), "filter");
    assert_string_equal(excluded(&world, only_dairy, "ann", "cheese"), "");
    said.hidden = true;
    said.from = 2000;
    said.owner = FR_BYTES("ann");
    tell_engine(&world, say_item(7, "cheese", &said));
    assert_string_equal(excluded(&world, only_dairy, "ann", "cheese"), "hidden, unavailable, owner");
    now_ms = 2000;
    assert_string_equal(excluded(&world, only_fruit, "cat", "cheese"), "no evidence, seen, filter, hidden");
    end(&world);
    options.require_catalogue = true;
    begin(&world, &options);
    assert_string_equal(excluded(&world, none, "cat", "bread"), "not in catalogue");
    end(&world);
    world.store->ops->close(world.store);
}

static void what_is_said_makes_known(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    struct engine_status *status = fr_alloc(sizeof(*status));
    struct user_facts facts;
    const char *title;

    (void)state;
    begin(&world, &options);
    town(&world);
    tell_engine(&world, say_item(6, "fig", &(struct item_said){.title = FR_BYTES("Fig")}));
    tell_engine(&world, say_user(7, "dan", "city", "Ulm"));
    tell_engine(&world, say_user(8, "ann", "city", "Bonn"));
    for (int round = 0; round < 2; round++) {
        engine_status(world.engine, status);
        assert_int_equal(status->items, 4);
        assert_int_equal(status->users, 4);
        assert_int_equal(users_of_item(&world, "fig", &title), 0);
        assert_string_equal(title, "Fig");
        struct reader *reader = reader_new(world.engine);
        reader_begin(reader);
        assert_int_equal(reader_user(reader, FR_BYTES("dan"), &facts, NULL), FR_OK);
        assert_int_equal(facts.events, 0);
        assert_true(facts.features->len == 1 && fr_bytes_equal(facts.features->at[0].value, FR_BYTES("Ulm")));
        reader_end(reader);
        reader_free(reader);
        restart(&world, &options);
    }
    free(status);
    end(&world);
    world.store->ops->close(world.store);
}

/* The counts are as if bob had never been. */
static void a_user_who_is_gone_is_forgotten(void **state)
{
    struct world world = {.store = store_memory_new(NULL)}, other = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    struct user_facts facts;
    char want[4096];

    (void)state;
    begin(&world, &options);
    town(&world);
    tell_engine(&world, say_user(6, "bob", "city", "Ulm"));
    tell_engine(&world, (struct event){.kind = EVENT_USER_GONE, .offset = 7, .logged = NOON, .user = FR_BYTES("bob")});
    begin(&other, &options);
    give(&other, (const struct event[]){event(0, "ann", "apple", NOON), event(1, "ann", "bread", NOON), event(2, "cat", "cheese", NOON)}, 3);
    await(&other, 3);
    snprintf(want, sizeof(want), "%s", recommend(&other, "cat", (struct ask){0}));
    for (int round = 0; round < 2; round++) {
        struct reader *reader = reader_new(world.engine);
        reader_begin(reader);
        assert_int_equal(reader_user(reader, FR_BYTES("bob"), &facts, NULL), FR_NOT_FOUND);
        reader_end(reader);
        reader_free(reader);
        assert_string_equal(recommend(&world, "cat", (struct ask){0}), want);
        assert_null(catalogue_user(world.engine->catalogue, 1)); /* who was bob */
        restart(&world, &options);
    }
    end(&world);
    end(&other);
    world.store->ops->close(world.store);
    other.store->ops->close(other.store);
}

/* ---- bounds ---- */

static void what_has_no_room_is_a_dead_letter_and_leaves_no_trace(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    struct engine_status *status = fr_alloc(sizeof(*status));
    static char title[TITLE_BYTES_MAX];
    static float numbers[EMBEDDING_MAX];
    struct item_said large = {.title = {title, sizeof(title)}, .embedding = {(const char *)numbers, sizeof(numbers)}};
    struct item_said two = {.categories_len = 2, .categories = {FR_BYTES("red"), FR_BYTES("green")}};
    const struct reject whole = {.key = FR_BYTES("fig"), .has_key = true, .value = FR_BYTES("v"), .has_value = true};
    const char *shown;

    (void)state;
    memset(title, 'x', sizeof(title));
    options.categories_max = 1;
    options.catalogue_mb_max = 2;
    begin(&world, &options);
    town(&world);
    tell_as_feed(&world, say_item(6, "fig", &two), &whole); /* one name too many */
    checkpoint(&world);
    const struct dead_letter *letter = engine_outbox_take(world.engine, PATIENCE_MS);
    assert_non_null(letter);
    assert_true(fr_bytes_equal(letter->reason, FR_BYTES("capacity")) && fr_bytes_equal(letter->key, FR_BYTES("fig")));
    assert_true(letter->has_value && fr_bytes_equal(letter->value, FR_BYTES("v")));
    assert_true(letter->message.len > 10 && memcmp(letter->message.at, "categories", 10) == 0);
    engine_status(world.engine, status);
    assert_int_equal(status->items, 3);
    two.categories_len = 1;
    tell_engine(&world, say_item(7, "apple", &two));
    int64_t offset = 8;
    for (char id[16]; engine_outbox_take(world.engine, 0) == NULL; offset++) { /* until the megabytes are full */
        assert_true(offset < 8 + 400);
        snprintf(id, sizeof(id), "n%d", (int)offset);
        tell_engine(&world, say_item(offset, id, &large));
        if (offset % 16 == 0)
            checkpoint(&world); /* letters leave once they are synced */
    }
    assert_true(offset > 8 + 200);
    options.catalogue_mb_max = 1; /* what was let in is kept, and may shrink */
    restart(&world, &options);
    tell_engine(&world, say_item(offset++, "apple", &(struct item_said){.hidden = true}));
    users_of_item(&world, "apple", &shown);
    assert_non_null(shown);
    assert_null(strstr(recommend(&world, "cat", (struct ask){0}), "apple"));
    free(status);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- readers beside a writer ---- */

enum { CHANGES = 2000, SEEN_LEAST = 200 };

struct watching {
    struct world *world;
    _Atomic bool stop;
    _Atomic unsigned seen;
};

/* The title names the category: a record is seen whole or not at all. */
static void *watch(void *context)
{
    struct watching *watching = context;
    struct reader *reader = reader_new(watching->world->engine);
    struct fr_bytes odd = FR_BYTES("odd");

    while (!atomic_load(&watching->stop)) {
        struct item_facts facts;
        struct recommendation_list list;
        reader_begin(reader);
        if (reader_item(reader, FR_BYTES("cheese"), &facts, NULL) == FR_OK && facts.said)
            assert_true(fr_bytes_equal(facts.said->title, facts.said->categories[0]));
        reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 3, .any = &odd, .any_len = 1, .max_per_category = 1}, &list);
        assert_true(list.len <= 1);
        reader_popular(reader, &(struct ask){.k = 3, .none = &odd, .none_len = 1}, &list);
        reader_end(reader);
        atomic_fetch_add(&watching->seen, 1);
    }
    reader_free(reader);
    return NULL;
}

static void readers_see_records_whole_while_they_change(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = shop_options();
    struct watching watching = {.world = &world};
    pthread_t threads[2];
    int64_t offset = 6;

    (void)state;
    begin(&world, &options);
    town(&world);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, watch, &watching), 0);
    while (offset < CHANGES || atomic_load(&watching.seen) < SEEN_LEAST) {
        struct fr_bytes name = offset % 2 ? FR_BYTES("odd") : FR_BYTES("even");
        struct item_said item = {.title = name, .categories_len = 1, .categories = {name}, .until = offset % 3 ? 0 : 5000};
        if (offset % 7 == 0)
            tell_engine(&world, (struct event){.kind = EVENT_ITEM_GONE, .offset = offset, .logged = NOON, .item = FR_BYTES("cheese")});
        else
            tell_engine(&world, say_item(offset, "cheese", &item));
        offset++;
    }
    atomic_store(&watching.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_is_hidden_in_the_next_question_and_after_a_restart),
        cmocka_unit_test(an_item_that_is_gone_comes_back_as_another),
        cmocka_unit_test(availability_goes_by_the_clock_handed_in),
        cmocka_unit_test(owners_are_not_shown_their_own),
        cmocka_unit_test(why_an_item_is_left_out_is_told),
        cmocka_unit_test(what_is_said_makes_known),
        cmocka_unit_test(a_user_who_is_gone_is_forgotten),
        cmocka_unit_test(what_has_no_room_is_a_dead_letter_and_leaves_no_trace),
        cmocka_unit_test(readers_see_records_whole_while_they_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
