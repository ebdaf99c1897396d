/*
 * admission_test.c -- while admission closes there is no moment in which a batch would not be asked for whole records.
 *
 *     memory.c, compiled in here     closing, closed ... each store --> what would feed be told now?
 */
#include "engine_world.h"

static struct engine *looked_at; /* NULL: nobody looks */
static int open_moments;

static void look(void)
{
    if (looked_at && !memory_full(looked_at))
        open_moments++;
}

#undef atomic_store
#define atomic_store(object, value) (atomic_store_explicit((object), (value), memory_order_seq_cst), look())
#include "memory.c"

static void no_moment_is_open_between_closing_and_closed(void **state)
{
    struct engine_options options = product();
    struct event_batch batch = {.whole = true};
    struct store *store = store_memory_new(NULL);
    struct engine *engine;
    struct fr_err err;

    (void)state;
    options.memory_soft = 1000;
    assert_int_equal(engine_open(&engine, &options, store, &err), FR_OK); /* not started: we are its thread */
    atomic_store(&engine->closing, true);
    looked_at = engine;
    memory_decide(engine, &batch);
    looked_at = NULL;
    assert_int_equal(open_moments, 0);
    assert_false(atomic_load(&engine->closing));
    assert_true(atomic_load(&engine->closed));
    engine_free(engine);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_moment_is_open_between_closing_and_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
