/*
 * forget_asked_test.c -- what is forgotten while a question is answered is not in the answer.
 *
 *     question    marks what is being forgotten | reads the clock ............................ lists by id
 *     engine                                           '--> a tombstone: no mark, and no id
 */
#include "engine_world.h"

static struct world *asked;
static bool forgets; /* the clock is read when what is forgotten by then is marked: from there on nothing says so but the id */

static when_ms clock_that_forgets(void)
{
    static struct event_batch batch;

    if (forgets) { /* the engine is not started: we are its thread */
        forgets = false;
        batch.events[0] = (struct event){
            .kind = EVENT_ITEM_GONE, .partition = asked->partition, .offset = 7, .logged = NOON + 1, .item = FR_BYTES("cheese")};
        batch.len = 1;
        apply_batch(asked->engine, &batch);
    }
    return NOON;
}

static void open_town_that_forgets(struct world *world, const struct engine_options *options)
{
    static struct event_batch batch;
    struct fr_writer hidden;
    struct fr_err err;

    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, options);
    town(world);
    end(world);
    fr_writer_init(&hidden, 0);
    catalogue_item_write(&hidden, &(struct item_said){.hidden = true}); /* so that there is something to ask the clock for */
    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    batch.events[0] = (struct event){.kind = EVENT_ITEM, .offset = 6, .logged = NOON, .item = FR_BYTES("fig"), .said = fr_written(&hidden)};
    batch.len = 1;
    apply_batch(world->engine, &batch);
    fr_writer_release(&hidden);
    asked = world;
    forgets = true;
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
        open_town_that_forgets(&world, &options);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_that_is_forgotten_within_a_question_is_not_in_its_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
