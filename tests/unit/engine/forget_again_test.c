/*
 * forget_again_test.c -- a start with a ledger that knows more than the store: of a backup that was restored, of a kill between the two, or
 * damaged.
 *
 *     ledger    bob ...... bread ...... cat        cat alone is forgotten again: the others came back, and are in the store
 *     store     bob ...... bread ...
 */
#include "folder.h"
#include "forgetting.h"

static void open_rocks(struct world *world, const char *folder)
{
    char path[300];
    struct fr_err err;

    snprintf(path, sizeof(path), "%s/store", folder);
    if (store_rocks_open(&world->store, &(struct store_rocks_options){.path = path}, &err))
        fail_msg("%s", err.text);
}

static void start(struct world *world, const char *folder, const struct engine_options *options)
{
    open_rocks(world, folder);
    begin(world, options);
}

static void stop(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

static void shell(const char *folder, const char *what)
{
    char command[1200];

    snprintf(command, sizeof(command), "cd '%s' && %s", folder, what);
    assert_int_equal(system(command), 0);
}

/* A copy of before the tombstones takes the place of the store; what lies beside it stays. FM has rows of users, and loses bob's alone. */
static void a_restored_state_forgets_again(void **state)
{
    struct world world = {0};
    struct engine_options options = parity();
    char folder[256];

    (void)state;
    with_user_rows(&options);
    folder_make(folder);
    start(&world, folder, &options);
    town(&world);
    stop(&world);
    shell(folder, "cp -r store before");
    start(&world, folder, &options);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1), gone(7, NULL, "bread", NOON + 1)}, 2);
    await(&world, 8);
    stop(&world);
    shell(folder, "rm -r store && mv before store");
    start(&world, folder, &options);
    await_forgotten(&world);
    assert_int_equal(world.next, 6);
    assert_true(features_of(&world) == 3);
    assert_string_equal(recommend(&world, "bob", (struct ask){0}), "apple 0.000000 cheese 0.000000 fallback");
    give(&world, (struct event[]){event(6, "bob", "apple", NOON + 1), event(7, "cat", "bread", NOON + 1), event(8, "bob", "cheese", NOON + 2)}, 3);
    await(&world, 9);
    assert_string_equal(recommend(&world, "bob", (struct ask){0}), "apple 0.000000");
    stop(&world);
    folder_remove(folder);
}

/* The restored state holds fads by the thousand that the ledger knows to be forgotten: no list of them for each. */
static void forgetting_many_again_takes_room_for_no_more_than_them(void **state)
{
    enum { FADS = 3000 };
    static struct event events[FADS];
    static char names[FADS][8];
    struct world world = {0};
    struct engine_options options = parity();
    struct fr_err err;
    char folder[256];

    (void)state;
    folder_make(folder);
    for (int life = 0; life < 2; life++) {
        start(&world, folder, &options);
        for (int i = 0; i < FADS; i++) {
            snprintf(names[i], sizeof(names[i]), "f%d", i);
            events[i] = life ? gone(FADS + i, NULL, names[i], NOON + 1) : event(i, names[i], names[i], NOON);
        }
        for (int i = 0; i < FADS; i += FADS / 3)
            give(&world, events + i, FADS / 3);
        await(&world, (life + 1) * FADS);
        stop(&world);
        if (!life)
            shell(folder, "cp -r store before");
    }
    shell(folder, "rm -r store && mv before store");
    open_rocks(&world, folder);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    assert_known(&world, FADS, 0);
    assert_true(fr_epoch_waiting(world.engine->epoch) < FADS * 32);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    await_forgotten(&world);
    stop(&world);
    folder_remove(folder);
}

/*
 * Bob and bread were forgotten, came back, and are in a checkpoint. Then one more is forgotten, and the daemon is killed when the ledger has
 * it and the store has not: the ledger is ahead by that one alone, and nobody reads again what the two others have done since.
 */
static void who_had_come_back_stays_when_another_is_forgotten_again(void **state)
{
    struct world world = {0};
    struct engine_options options = parity();
    char folder[256];

    (void)state;
    folder_make(folder);
    start(&world, folder, &options);
    town(&world);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1), gone(7, NULL, "bread", NOON + 1), event(8, "bob", "apple", NOON + 2),
                                  event(9, "bob", "bread", NOON + 2)},
         4);
    await(&world, 10);
    await_forgotten(&world);
    stop(&world);
    shell(folder, "cp -r store before");
    start(&world, folder, &options);
    give(&world, (struct event[]){gone(10, "cat", NULL, NOON + 3)}, 1);
    await(&world, 11);
    stop(&world);
    shell(folder, "rm -r store && mv before store");
    start(&world, folder, &options);
    await_forgotten(&world);
    assert_int_equal(world.next, 10);
    assert_known(&world, 2, 3);
    assert_string_equal(recommend(&world, "ann", (struct ask){0}), "bread 0.500000");
    assert_string_equal(recommend(&world, "cat", (struct ask){0}), "apple 0.000000 bread 0.000000 fallback");
    stop(&world);
    folder_remove(folder);
}

/* Whoever takes that for damage of the store would give up a good one, and then each backup in turn. */
static void a_damaged_ledger_is_no_damage_of_the_store(void **state)
{
    struct world world = {0};
    struct engine_options options = parity();
    struct fr_err err;
    char folder[256];

    (void)state;
    folder_make(folder);
    start(&world, folder, &options);
    town(&world);
    give(&world, (struct event[]){gone(6, "bob", NULL, NOON + 1)}, 1);
    await(&world, 7);
    stop(&world);
    shell(folder, "cp store.forgotten good && printf '\\377' | dd of=store.forgotten bs=1 seek=20 conv=notrunc status=none");
    open_rocks(&world, folder);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_IO);
    assert_non_null(strstr(err.text, "store.forgotten' is damaged at byte 0"));
    assert_non_null(strstr(err.text, "put back a good copy of it, or move it away"));
    shell(folder, "mv good store.forgotten");
    begin(&world, &options);
    assert_int_equal(world.next, 7);
    stop(&world);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_state_forgets_again),
        cmocka_unit_test(forgetting_many_again_takes_room_for_no_more_than_them),
        cmocka_unit_test(who_had_come_back_stays_when_another_is_forgotten_again),
        cmocka_unit_test(a_damaged_ledger_is_no_damage_of_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
