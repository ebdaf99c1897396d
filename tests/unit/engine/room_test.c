/*
 * room_test.c -- what comes when the ids known take all the room there is for ids: 16 GiB of them, so the room is said to be full here.
 *
 *     dict_has_room, dict_add    this file's, before the real ones (see the linker's --wrap)
 */
#include "engine_world.h"

static bool full;

bool __real_dict_has_room(const struct dict *dict, uint32_t more);
bool __wrap_dict_has_room(const struct dict *dict, uint32_t more);
uint32_t __real_dict_add(struct dict *dict, struct fr_bytes id, uint64_t hash);
uint32_t __wrap_dict_add(struct dict *dict, struct fr_bytes id, uint64_t hash);

bool __wrap_dict_has_room(const struct dict *dict, uint32_t more)
{
    return !full && __real_dict_has_room(dict, more);
}

uint32_t __wrap_dict_add(struct dict *dict, struct fr_bytes id, uint64_t hash)
{
    return full ? DICT_NONE : __real_dict_add(dict, id, hash);
}

/* The engine is not started: we are its thread. */
static void apply(struct world *world, struct event one)
{
    static struct event_batch batch;

    one.partition = world->partition;
    batch.events[0] = one;
    batch.len = 1;
    apply_batch(world->engine, &batch);
}

static struct event with_id(int64_t offset, const char *user, const char *item)
{
    struct event one = event(offset, user, item, NOON);

    one.repeat_high = 7;
    one.repeat_low = 7;
    return one;
}

static void open_small_town(struct world *world, const struct engine_options *options)
{
    struct fr_err err;

    *world = (struct world){.store = store_memory_new(NULL)};
    full = false;
    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    assert_int_equal(engine_partition(world->engine, TOPIC, 0, &world->partition, &world->next, &err), FR_OK);
    apply(world, event(0, "ann", "apple", NOON));
    full = true;
}

static void close_it(struct world *world)
{
    full = false;
    engine_free(world->engine);
    world->store->ops->close(world->store);
}

/* What the refusal has left behind would make the record a repeat when it is put back, and it would never be learned. */
static void what_finds_no_room_is_a_dead_letter_and_learned_when_it_is_put_back(void **state)
{
    static const char *const cases[][2] = {{"bob", "apple"}, {"ann", "bread"}, {"bob", "bread"}};
    struct engine_options options = parity();
    struct fr_series *repeats = FR_SERIES(FR_M_EVENTS_DUPLICATE);

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        struct world world;
        open_small_town(&world, &options);
        double before = fr_series_value(repeats);
        apply(&world, with_id(1, cases[c][0], cases[c][1]));
        assert_int_equal(atomic_load(&world.engine->outbox_len), 1);
        assert_int_equal(dict_len(world.engine->users), 1);
        assert_int_equal(dict_len(world.engine->items), 1);
        full = false;
        apply(&world, with_id(2, cases[c][0], cases[c][1]));
        assert_true(fr_series_value(repeats) == before);
        assert_int_equal(atomic_load(&world.engine->outbox_len), 1);
        assert_int_equal(dict_len(world.engine->users), strcmp(cases[c][0], "ann") ? 2 : 1);
        assert_int_equal(dict_len(world.engine->items), strcmp(cases[c][1], "apple") ? 2 : 1);
        apply(&world, with_id(3, cases[c][0], cases[c][1]));
        assert_true(fr_series_value(repeats) == before + 1);
        close_it(&world);
    }
}

static void what_is_said_of_one_who_finds_no_room_is_a_dead_letter(void **state)
{
    struct engine_options options = parity();
    struct world world;
    struct fr_writer said;

    (void)state;
    open_small_town(&world, &options);
    fr_writer_init(&said, 0);
    catalogue_item_write(&said, &(struct item_said){.hidden = true});
    apply(&world, (struct event){.kind = EVENT_ITEM, .offset = 1, .logged = NOON, .item = FR_BYTES("bread"), .said = fr_written(&said)});
    assert_int_equal(atomic_load(&world.engine->outbox_len), 1);
    apply(&world, (struct event){.kind = EVENT_ITEM, .offset = 2, .logged = NOON, .item = FR_BYTES("apple"), .said = fr_written(&said)});
    assert_int_equal(atomic_load(&world.engine->outbox_len), 1);
    assert_int_equal(dict_len(world.engine->items), 1);
    fr_writer_release(&said);
    close_it(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_finds_no_room_is_a_dead_letter_and_learned_when_it_is_put_back),
        cmocka_unit_test(what_is_said_of_one_who_finds_no_room_is_a_dead_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
