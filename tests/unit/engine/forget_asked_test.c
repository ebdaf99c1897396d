/*
 * forget_asked_test.c -- what is forgotten while a question is answered is not in the answer, whatever step of it the question meets.
 *
 *     question    marks what is being forgotten | reads the clock ............................ lists by id
 *     engine                                           '--> a tombstone: no mark, and no id
 */
#include "engine_world.h"

static struct world *asked;
static bool forgets; /* the clock is read when what is forgotten by then is marked: from there on nothing says so but the id */

/* The engine is not started: we are its thread. */
static void apply(struct event one)
{
    static struct event_batch batch;

    one.partition = asked->partition;
    batch.events[0] = one;
    batch.len = 1;
    apply_batch(asked->engine, &batch);
}

static when_ms clock_that_forgets(void)
{
    if (forgets) {
        forgets = false;
        apply((struct event){.kind = EVENT_ITEM_GONE, .offset = 7, .logged = NOON + 1, .item = FR_BYTES("cheese")});
    }
    return NOON;
}

static void open_town(struct world *world, const struct engine_options *options, const char *hidden)
{
    struct fr_writer said;
    struct fr_err err;

    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, options);
    town(world);
    end(world);
    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    asked = world;
    fr_writer_init(&said, 0);
    catalogue_item_write(&said, &(struct item_said){.hidden = true});
    apply((struct event){.kind = EVENT_ITEM, .offset = 6, .logged = NOON, .item = fr_bytes_of(hidden), .said = fr_written(&said)});
    fr_writer_release(&said);
}

static void an_item_that_is_forgotten_within_a_question_is_not_in_its_answer(void **state)
{
    struct engine_options options = parity();
    struct recommendation_list list;
    struct neighbour_list like;
    struct world world;

    (void)state;
    options.clock = clock_that_forgets;
    for (int question = 0; question < 3; question++) {
        open_town(&world, &options, "fig"); /* so that there is something to ask the clock for */
        forgets = true;
        struct reader *reader = reader_new(world.engine);
        struct ask ask = {.user = FR_BYTES("ann"), .k = 10, .include_seen = question == 0};
        size_t len = 0;
        bool named = true;
        reader_begin(reader);
        if (question < 2) {
            question ? reader_popular(reader, &ask, &list) : reader_recommend(reader, &ask, &list);
            for (len = 0; len < list.len; len++)
                named = named && list.items[len].item.len;
        } else {
            assert_int_equal(reader_similar_items(reader, FR_BYTES("apple"), &ask, &like, NULL), FR_OK);
            for (len = 0; len < like.len; len++)
                named = named && like.neighbours[len].id.len;
        }
        assert_false(forgets);
        assert_true(named);
        assert_int_equal(len, question < 2 ? 2 : 1); /* apple and bread; bread */
        reader_end(reader);
        reader_free(reader);
        engine_free(world.engine);
        world.store->ops->close(world.store);
    }
}

/* ---- in the middle of being forgotten ---- */

static char listed[4096]; /* when the record of what is forgotten had just gone */

static void ask_as_a_record_goes(struct model *model, uint32_t item, const uint64_t *keys, size_t len)
{
    (void)model;
    (void)item;
    (void)len;
    if (!keys)
        snprintf(listed, sizeof(listed), "%s", recommend(asked, "zoe", (struct ask){0}));
}

/* A reader that finds no record any more, and so nothing that hides the item, finds no id either. */
static void an_item_that_is_hidden_is_in_no_answer_while_it_is_forgotten(void **state)
{
    struct engine_options options = parity();
    struct model_ops ops = sar_ops;
    struct world world;

    (void)state;
    open_town(&world, &options, "cheese");
    ops.describe = ask_as_a_record_goes;
    world.engine->learners[0].ops = &ops;
    assert_string_equal(recommend(&world, "zoe", (struct ask){0}), "apple 0.000000 bread 0.000000 fallback");
    apply((struct event){.kind = EVENT_ITEM_GONE, .offset = 7, .logged = NOON + 1, .item = FR_BYTES("cheese")});
    assert_string_equal(listed, "apple 0.000000 bread 0.000000 fallback");
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

/* ---- what fills in ---- */

static size_t explain_and_forget(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                                 struct reason_part *parts, size_t parts_max)
{
    if (forgets) { /* the best are being listed: what fills in has been chosen */
        forgets = false;
        apply((struct event){.kind = EVENT_ITEM_GONE, .offset = 8, .logged = NOON + 1, .item = FR_BYTES("date")});
    }
    return sar_ops.explain(model, query, item, scratch, parts, parts_max);
}

static void an_answer_whose_one_popular_item_is_forgotten_is_no_fallback(void **state)
{
    struct engine_options options = product();
    struct model_ops ops = sar_ops;
    struct world world;

    (void)state;
    open_town(&world, &options, "fig");
    apply(event(7, "zoe", "date", NOON));
    ops.explain = explain_and_forget;
    world.engine->learners[0].ops = &ops;
    for (int question = 0; question < 2; question++) {
        struct reader *reader = reader_new(world.engine);
        struct recommendation_list list;
        forgets = question == 1;
        reader_begin(reader);
        reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 10, .explain = true}, &list);
        assert_false(forgets);
        assert_int_equal(list.len, question ? 1 : 2); /* cheese; and date, which is with nothing that she knows */
        assert_string_equal(list.items[0].source, "sar");
        assert_true(list.fallback == (question == 0));
        reader_end(reader);
        reader_free(reader);
    }
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

/* ---- many at once ---- */

enum { FADS = EVENT_BATCH_MAX };

/* A record on each fad, from `offset` on, in one batch. Events are of users of their own, who share a letter. */
static void apply_fads(struct event each, int64_t offset)
{
    static struct event_batch batch;
    static char names[FADS][8], users[FADS][8];

    for (int i = 0; i < FADS; i++) {
        snprintf(names[i], sizeof(names[i]), "f%d", i);
        snprintf(users[i], sizeof(users[i]), "%.1s%d", each.user.at, i);
        batch.events[i] = each;
        batch.events[i].item = fr_bytes_of(names[i]);
        if (each.kind == EVENT_APPLY)
            batch.events[i].user = fr_bytes_of(users[i]);
        batch.events[i].offset = offset + i;
        batch.events[i].partition = asked->partition;
    }
    batch.len = FADS;
    apply_batch(asked->engine, &batch);
}

/* All are marked, or the list would be short of what is left; and it is one list that grows, not one for each, which wait for their readers. */
static void a_batch_of_items_is_forgotten_in_room_that_grows_with_their_number(void **state)
{
    struct engine_options options = parity();
    struct world world = {.store = store_memory_new(NULL)};
    struct fr_err err;

    (void)state;
    asked = &world;
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    assert_int_equal(engine_partition(world.engine, TOPIC, 0, &world.partition, &world.next, &err), FR_OK);
    apply_fads(event(0, "a", "", NOON), 0);
    apply_fads(event(0, "b", "", NOON), FADS);
    apply(event(2 * FADS, "cat", "apple", NOON));
    fr_epoch_reclaim(world.engine->epoch);
    apply_fads((struct event){.kind = EVENT_ITEM_GONE, .logged = NOON + 1, .user = FR_BYTES("")}, 2 * FADS + 1);
    assert_true(fr_epoch_waiting(world.engine->epoch) < (size_t)FADS * 32); /* ids, and the lists that were too small */
    assert_string_equal(recommend(&world, "zoe", (struct ask){.k = 1}), "apple 0.000000 fallback");
    while (forgetting_goes_on(world.engine))
        forget_slice(world.engine);
    assert_string_equal(recommend(&world, "zoe", (struct ask){.k = 1}), "apple 0.000000 fallback");
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_that_is_forgotten_within_a_question_is_not_in_its_answer),
        cmocka_unit_test(an_item_that_is_hidden_is_in_no_answer_while_it_is_forgotten),
        cmocka_unit_test(an_answer_whose_one_popular_item_is_forgotten_is_no_fallback),
        cmocka_unit_test(a_batch_of_items_is_forgotten_in_room_that_grows_with_their_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
