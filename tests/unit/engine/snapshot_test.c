/*
 * snapshot_test.c -- a copy of the store while the engine learns and checkpoints: it is whole, and its positions are those of its
 * events.
 */
#include <sys/stat.h>

#include "engine_world.h"
#include "folder.h"
#include "freshet/backup.h"

enum { COPIES = 6, PER_BATCH = 50 };

struct copier {
    struct engine *engine;
    char folder[256];
    _Atomic int made;
};

/* Thread: as the daemon's backup. */
static void make_copies(void *context)
{
    struct copier *copier = context;

    for (int i = 0; i < COPIES; i++) {
        char path[300];
        struct fr_err err = {0};
        snprintf(path, sizeof(path), "%s/copy-%d", copier->folder, i);
        if (engine_snapshot(copier->engine, path, NULL, &err))
            fail_msg("%s", err.text);
        atomic_fetch_add(&copier->made, 1);
    }
}

static void learn_while_copied(struct world *world, struct copier *copier)
{
    int64_t next = 0;

    while (atomic_load(&copier->made) < COPIES || next < 1000) {
        struct event events[PER_BATCH];
        char names[PER_BATCH][2][16];
        for (int i = 0; i < PER_BATCH; i++) {
            snprintf(names[i][0], sizeof(names[i][0]), "u%lld", (long long)(next + i) % 37);
            snprintf(names[i][1], sizeof(names[i][1]), "i%lld", (long long)(next + i) % 23);
            events[i] = event(next + i, names[i][0], names[i][1], NOON + next);
        }
        give(world, events, PER_BATCH);
        next += PER_BATCH;
        await(world, next);
    }
}

static void a_copy_made_while_learning_is_whole_at_its_own_position(void **state)
{
    struct world world = {0};
    struct engine_options options = parity();
    struct copier copier = {0};
    struct fr_err err = {0};
    char path[300];
    int64_t before = 0;

    (void)state;
    folder_make(copier.folder);
    snprintf(path, sizeof(path), "%s/store", copier.folder);
    assert_int_equal(store_rocks_open(&world.store, &(struct store_rocks_options){.path = path}, &err), FR_OK);
    begin(&world, &options);
    copier.engine = world.engine;
    struct fr_thread *thread = fr_thread_start("backup", make_copies, &copier);
    learn_while_copied(&world, &copier);
    fr_thread_join(thread);
    end(&world);
    world.store->ops->close(world.store);
    for (int i = 0; i < COPIES; i++) { /* each is a store like any other */
        struct engine_status *status = fr_alloc(sizeof(*status));
        struct engine *engine;
        snprintf(path, sizeof(path), "%s/copy-%d", copier.folder, i);
        assert_int_equal(store_rocks_open(&world.store, &(struct store_rocks_options){.path = path}, &err), FR_OK);
        if (engine_open(&engine, &options, world.store, &err))
            fail_msg("copy %d: %s", i, err.text);
        engine_status(engine, status);
        int64_t applied = status->partitions_len ? status->partitions[0].applied : 0;
        assert_int_equal(status->model_events, applied < 0 ? 0 : applied);
        assert_true(applied >= before);
        before = applied;
        engine_free(engine);
        world.store->ops->close(world.store);
        free(status);
    }
    folder_remove(copier.folder);
}

static void a_full_disk_is_told_before_anything_is_written(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err = {0};

    (void)state;
    begin(&world, &options);
    engine_hold(world.engine, HOLD_DISK, true);
    assert_int_equal(engine_snapshot(world.engine, "/nowhere", NULL, &err), FR_FULL);
    engine_hold(world.engine, HOLD_DISK, false);
    assert_int_equal(engine_snapshot(world.engine, "/nowhere", NULL, &err), FR_INVALID); /* memory has no files */
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_made_while_learning_is_whole_at_its_own_position),
        cmocka_unit_test(a_full_disk_is_told_before_anything_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
