/*
 * freeze_test.c -- a freeze of models that owe it most of what they have changed: whatever is applied while they pay, what is in the store
 * after each checkpoint is the state of one moment between two batches, and a process that is killed meanwhile has lost nothing.
 *
 *     checkpoint_take     here an image is made of the models' memory; the engine's thread is between two batches
 *     publish_pay         is let through one time in so many, so that a freeze is under way for batches on end; here the child is killed
 *     publish_written     here the image is compared with the store, on the checkpoint's thread
 *
 * The linker puts this program around these three (--wrap). An image is a sum for each table, of hashes of cells.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "engine_world.h"
#include "folder.h"
#include "freshet/feature.h"
#include "freshet/fm.h"
#include "freshet/format.h"
#include "freshet/ncf.h"
#include "freshet/trending.h"
#include "model_cells.h"

enum { PEOPLE = 200, THINGS = 2000, EVENTS = 5000, PORTION = 40, IMAGES = 64, KILLS = 4, MODELS = 4, IDLE_LOOKS = 1000, ALL_AT_ONCE = 8 };

extern char **environ;

/* ---- images ---- */

struct image {
    uint64_t tables[TABLES];
    uint64_t events;
    int64_t next;
};

static void image_cell(void *context, enum journal_table table, uint32_t row, uint32_t column, const void *bytes, size_t len)
{
    struct image *image = context;

    image->tables[table] += XXH3_64bits_withSeed(bytes, len, (uint64_t)row << 32 | column);
}

static struct image image_of_models(const struct engine *engine)
{
    bool any = atomic_load(&engine->partitions_len);
    struct image image = {.events = atomic_load(&engine->events), .next = any ? engine->partitions[0]->position : -1};

    for (size_t m = 0; m < engine->learners_len; m++) {
        if (engine->learners[m].ops == &fm_ops)
            fm_cells(engine->learners[m].model, image_cell, &image);
        if (engine->learners[m].ops == &ncf_ops)
            ncf_cells(engine->learners[m].model, image_cell, &image);
    }
    return image;
}

struct table_image {
    enum journal_table table;
    bool whole; /* counters, and blocks that are zero, too */
    struct image *image;
};

static bool take_cells(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    static const char zero[1024];
    const struct table_image *of = context;
    bool dense = of->table == TABLE_FM_DENSE || of->table == TABLE_NCF_DENSE;

    for (size_t k = 0; k < len; k++) {
        bool filter = of->table == TABLE_FM_DENSE && row == 1 && cells[k].len == sizeof(zero);
        if (of->whole || !dense || (row && !(filter && !memcmp(cells[k].at, zero, sizeof(zero)))))
            image_cell(of->image, of->table, row, columns[k], cells[k].at, cells[k].len);
    }
    return true;
}

static bool take_sums(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len)
{
    const struct table_image *of = context;

    for (size_t k = 0; k < len; k++)
        image_cell(of->image, of->table, row, columns[k], &sums[k], sizeof(sums[k]));
    return true;
}

/* Of the tables that image_of_models knows, or of all there are. */
static struct image image_of_store(struct store *store, bool whole)
{
    struct image image = {0};
    struct table_image of[TABLES];
    struct state_loader loaders[TABLES];
    struct format_clock clock = {0};
    struct format_position position = {.next = -1};
    struct fr_writer key;
    char *value;
    size_t len = 0, value_len;

    for (unsigned table = 1; table < TABLES; table++) {
        bool ours = table == TABLE_FM_DENSE || table == TABLE_FM_ITEMS || table == TABLE_FM_HISTORY || table == TABLE_FM_FEATURES ||
                    (table >= TABLE_NCF_GMF_ITEMS && table <= TABLE_NCF_DENSE);
        if (!ours && (!whole || table == TABLE_DEDUP)) /* its buckets are by time of arrival */
            continue;
        of[len] = (struct table_image){(enum journal_table)table, whole, &image};
        loaders[len] = (struct state_loader){.table = of[len].table, .context = &of[len], .sums = take_sums, .cells = take_cells};
        len++;
    }
    if (state_load(store, loaders, len, NULL) || store->ops->get(store, fr_bytes_of(FORMAT_CLOCK_KEY), &value, &value_len, NULL))
        abort();
    format_clock_read((struct fr_bytes){value, value_len}, &clock);
    free(value);
    fr_writer_init(&key, 0);
    format_position_key(&key, fr_bytes_of(TOPIC), 0);
    if (!store->ops->get(store, fr_written(&key), &value, &value_len, NULL)) {
        format_position_read(fr_written(&key), (struct fr_bytes){value, value_len}, &position);
        free(value);
    }
    fr_writer_release(&key);
    image.events = clock.events;
    image.next = position.next;
    return image;
}

/* ---- what is wrapped ---- */

static struct {
    struct engine *engine; /* NULL: nobody looks */
    struct store *store;
    struct image images[IMAGES];
    _Atomic unsigned compared, unlike[TABLES + 2];
    _Atomic unsigned let_through; /* one time in so many; 0: always */
    uint64_t idle_at;         /* batches done, and how often the engine has come by since while one waited */
    unsigned idle;
    _Atomic size_t padding;   /* bytes */
    _Atomic size_t full_aside, full_journal; /* bytes of the two, once it has come by very often */
    unsigned slices, longest; /* of the freeze under way; the most that a freeze has had */
    uint64_t batches;         /* done when it began */
    _Atomic uint64_t under_way; /* freezes during which batches were applied */
    unsigned kill_at;         /* in the first slice after so many steps of the process's life; 0: never */
    unsigned life;            /* steps: freezes, and slices after their first */
} watch;

/* Makes the next freeze's two journals long. */
static void pad(struct journal *journal)
{
    size_t len = atomic_load(&watch.padding);
    char *bytes = fr_zalloc(1, len + 1);

    if (len && journal)
        journal_key_put(journal, FR_BYTES("zz"), (struct fr_bytes){bytes, len});
    free(bytes);
}

struct journal *__real_checkpoint_take(struct checkpoint *checkpoint);
struct journal *__wrap_checkpoint_take(struct checkpoint *checkpoint);
struct journal *__wrap_checkpoint_take(struct checkpoint *checkpoint)
{
    if (watch.engine)
        watch.images[watch.engine->frozen % IMAGES] = image_of_models(watch.engine);
    if (++watch.life >= watch.kill_at + ALL_AT_ONCE && watch.kill_at)
        raise(SIGKILL); /* a machine so fast that the first slice is enough */
    watch.slices = 0;
    watch.batches = watch.engine ? atomic_load(&watch.engine->batches_done) : 0;
    struct journal *empty = __real_checkpoint_take(checkpoint);
    pad(empty);
    pad(watch.engine ? watch.engine->aside : NULL);
    return empty;
}

/* Does it stand still with a batch before it? */
static void note_idle(const struct engine *engine)
{
    uint64_t done = atomic_load(&engine->batches_done);

    watch.idle = done == watch.idle_at && fr_queue_len(engine->given) ? watch.idle + 1 : 0;
    watch.idle_at = done;
    if (watch.idle < IDLE_LOOKS)
        return;
    atomic_store(&watch.full_journal, journal_bytes(engine->journal));
    atomic_store(&watch.full_aside, journal_bytes(engine->aside));
}

void __real_publish_pay(struct engine *engine);
void __wrap_publish_pay(struct engine *engine);
void __wrap_publish_pay(struct engine *engine)
{
    if (!engine->aside)
        return;
    if (++watch.life >= watch.kill_at && watch.kill_at)
        raise(SIGKILL);
    watch.slices++;
    watch.longest = watch.slices > watch.longest ? watch.slices : watch.longest;
    unsigned let_through = atomic_load(&watch.let_through);
    if (let_through && watch.slices % let_through) {
        note_idle(engine);
        return;
    }
    __real_publish_pay(engine);
    if (!engine->aside && watch.engine)
        watch.under_way += atomic_load(&engine->batches_done) > watch.batches;
}

void __real_publish_written(void *context, uint64_t number);
void __wrap_publish_written(void *context, uint64_t number);
void __wrap_publish_written(void *context, uint64_t number)
{
    if (watch.engine) {
        struct image want = watch.images[number % IMAGES], have = image_of_store(watch.store, false);
        for (unsigned table = 1; table < TABLES; table++)
            atomic_fetch_add(&watch.unlike[table], want.tables[table] != have.tables[table]);
        atomic_fetch_add(&watch.unlike[TABLES], want.events != have.events);
        atomic_fetch_add(&watch.unlike[TABLES + 1], want.next != have.next);
        atomic_fetch_add(&watch.compared, 1);
    }
    __real_publish_written(context, number);
}

/* ---- a stream ---- */

static const struct trending_options trending = {DAY};
static struct fm_options fm;
static struct ncf_options ncf;
static const struct engine_model models[MODELS] = {{"fm", &fm}, {"ncf", &ncf}, {"trending", &trending}, {ENGINE_BLEND, NULL}};

static struct engine_options with_models(void)
{
    struct engine_options options = product();

    fm = fm_defaults;
    fm.features_max = 300; /* few: they are evicted all the time */
    fm.features_admit = 2;
    fm.negatives = 12;
    ncf = ncf_defaults; /* thin, for the sanitizers' sake: what counts is how many rows there are */
    ncf.gmf = ncf.mlp = ncf.layers[0] = ncf.layers[1] = ncf.layers[2] = 16;
    ncf.history = 10;
    options.history_max = 30;
    options.evaluate_every = 200;
    options.dedup_window = 0;
    options.models = models;
    options.models_len = MODELS;
    return options;
}

static uint64_t mix(uint64_t z)
{
    z = (z + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Events [from, to): each is a function of its number. */
static void give_events(struct world *world, uint64_t from, uint64_t to)
{
    struct event_batch *batch = engine_batch_take(world->engine, PATIENCE_MS);

    assert_non_null(batch);
    for (uint64_t k = from; k < to; k++) {
        uint64_t z = mix(k), *context = fr_arena_take(&batch->arena, sizeof(*context));
        char *user = fr_arena_take(&batch->arena, 16), *item = fr_arena_take(&batch->arena, 16);
        snprintf(user, 16, "u%u", (unsigned)(z % PEOPLE));
        snprintf(item, 16, "i%u", (unsigned)((z >> 16) % THINGS));
        *context = 1 + (z >> 32) % 1000;
        batch->events[batch->len] = event((int64_t)k, user, item, NOON + (when_ms)k * 1000);
        batch->events[batch->len].partition = world->partition;
        batch->events[batch->len].context = context;
        batch->events[batch->len++].context_len = 1;
    }
    engine_batch_give(world->engine, batch);
}

static void give_all(struct world *world, uint64_t from, uint64_t to)
{
    for (uint64_t k = from; k < to;) {
        uint64_t len = 1 + mix(k) % 300, upto = k + len < to ? k + len : to;
        give_events(world, k, upto);
        k = upto;
        if (k == to || k % 8 == 0)
            await(world, (int64_t)k);
    }
}

/* begin(), and every freeze is looked at. */
static void begin_watched(struct world *world, const struct engine_options *options, unsigned let_through)
{
    struct fr_err err;

    memset(&watch, 0, sizeof(watch));
    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    watch.store = world->store;
    watch.engine = world->engine;
    watch.let_through = let_through;
    assert_int_equal(engine_start(world->engine, &err), FR_OK);
    assert_int_equal(engine_partition(world->engine, TOPIC, 0, &world->partition, &world->next, &err), FR_OK);
}

static void assert_never_unlike(void)
{
    for (unsigned table = 1; table < TABLES + 2; table++)
        if (watch.unlike[table])
            fail_msg("table %u was not as of the freeze after %u of %u checkpoints", table, watch.unlike[table], watch.compared);
}

/* ---- tests ---- */

static void what_is_stored_is_the_state_of_one_moment(void **state)
{
    struct engine_options options = with_models();
    struct world world = {.store = store_memory_new(NULL)};
    uint64_t at = 0, deadline = patience();

    (void)state;
    begin_watched(&world, &options, 8);
    for (; at < 2000 || atomic_load(&watch.under_way) < 4; at += 500) {
        assert_true(fr_mono_ns() < deadline);
        give_all(&world, at, at + 500);
    }
    checkpoint(&world);
    assert_never_unlike();
    give_events(&world, at, at + 500);
    end(&world); /* perhaps in the midst of a freeze, with events behind it */
    assert_never_unlike();
    assert_true(watch.compared > 3);
    struct image last = image_of_store(world.store, true);
    assert_int_equal(last.next, at + 500);
    world.store->ops->close(world.store);
    print_message("%u checkpoints, %llu of them with batches in between, up to %u slices\n", watch.compared,
                  (unsigned long long)atomic_load(&watch.under_way), watch.longest);
}

/* No checkpoint is due for ten minutes but those asked for, and no event comes. */
static void an_idle_engine_pays_all(void **state)
{
    struct engine_options options = with_models();
    struct world world = {.store = store_memory_new(NULL)};

    (void)state;
    options.checkpoint_interval = 600000;
    begin_watched(&world, &options, 0);
    give_all(&world, 0, 2000);
    checkpoint(&world);
    give_all(&world, 2000, 4000);
    checkpoint(&world);
    assert_true(watch.longest > 1);
    struct image stored = image_of_store(world.store, false), models_now = image_of_models(world.engine);
    assert_memory_equal(&stored, &models_now, sizeof(stored));
    give_all(&world, 4000, 4500);
    assert_true(engine_settle(world.engine, PATIENCE_MS));
    end(&world);
    assert_never_unlike();
    world.store->ops->close(world.store);
}

/* Asked for while a freeze is under way: that one does not answer for it, and the next does not wait for the interval. */
static void who_asks_during_a_freeze_is_answered_by_the_next(void **state)
{
    struct engine_options options = with_models();
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_checkpoint done;

    (void)state;
    options.checkpoint_interval = 600000;
    begin_watched(&world, &options, UINT32_MAX); /* the engine goes round and round */
    give_all(&world, 0, 1500);
    engine_checkpoint_ask(world.engine);
    while (!atomic_load(&world.engine->unwritten_since))
        sched_yield();
    give_all(&world, 1500, 1700);
    uint64_t ticket = engine_checkpoint_ask(world.engine);
    atomic_store(&watch.let_through, 0);
    await_checkpoint(&world, ticket, &done);
    assert_int_equal(done.durable[0].next, 1700);
    assert_never_unlike();
    end(&world);
    world.store->ops->close(world.store);
}

/* The limit is 1 MiB, and a freeze stays under way: two journals of 600 kB are over it, and no batch is taken. */
static void both_journals_count(void **state)
{
    struct engine_options options = with_models();
    struct world world = {.store = store_memory_new(NULL)};
    uint64_t deadline = patience();

    (void)state;
    options.checkpoint_interval = 600000;
    options.uncommitted_mb_max = 1;
    begin_watched(&world, &options, 0);
    give_all(&world, 0, 1000);
    checkpoint(&world);
    give_all(&world, 1000, 1020);
    atomic_store(&watch.let_through, UINT32_MAX);
    atomic_store(&watch.padding, 600000);
    engine_checkpoint_ask(world.engine);
    while (!atomic_load(&world.engine->unwritten_since))
        sched_yield();
    give_events(&world, 1020, 1040);
    while (!atomic_load(&watch.full_aside)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    size_t aside = atomic_load(&watch.full_aside), journal = atomic_load(&watch.full_journal);
    assert_true(aside + journal > 1 << 20 && aside < 1 << 20 && journal < 1 << 20);
    assert_false(engine_reached(world.engine, FR_BYTES(TOPIC), 0, 1040));
    atomic_store(&watch.let_through, 0);
    await(&world, 1040);
    checkpoint(&world);
    assert_never_unlike();
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- killed while models owe ---- */

static struct store *open_folder(const char *folder)
{
    struct store *store;
    struct fr_err err;

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return store;
}

/* Each portion has a freeze, a step at least, so that every life comes to its end before the events do: 4 * (19 + 8) portions. */
static int live(const char *folder, unsigned kill_at)
{
    struct engine_options options = with_models();
    struct world world = {.store = open_folder(folder)};

    watch.let_through = 2;
    watch.kill_at = kill_at;
    begin(&world, &options);
    for (uint64_t at = world.next < 0 ? 0 : (uint64_t)world.next, to; at < EVENTS; at = to) {
        to = at + PORTION < EVENTS ? at + PORTION : EVENTS;
        uint64_t ticket = engine_checkpoint_ask(world.engine);
        give_all(&world, at, to);
        await_checkpoint(&world, ticket, NULL);
    }
    end(&world);
    world.store->ops->close(world.store);
    return 0;
}

static void a_crash_before_all_is_paid_loses_nothing(void **state)
{
    struct engine_options options = with_models();
    struct world world = {.store = store_memory_new(NULL)};
    char folder[256], number[16];
    unsigned killed = 0;

    (void)state;
    memset(&watch, 0, sizeof(watch));
    begin(&world, &options);
    give_all(&world, 0, EVENTS);
    end(&world);
    struct image whole = image_of_store(world.store, true);
    world.store->ops->close(world.store);
    folder_make(folder);
    for (unsigned life = 0; life <= KILLS; life++) {
        char *arguments[] = {"/proc/self/exe", "live", folder, number, NULL};
        int status;
        pid_t child;
        snprintf(number, sizeof(number), "%u", life < KILLS ? 4 + (unsigned)mix(life) % 16 : 0);
        assert_int_equal(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
        killed += WIFSIGNALED(status);
    }
    assert_int_equal(killed, KILLS);
    world.store = open_folder(folder);
    struct image after = image_of_store(world.store, true);
    world.store->ops->close(world.store);
    for (unsigned table = 1; table < TABLES; table++)
        if (after.tables[table] != whole.tables[table])
            fail_msg("table %u is not what it is without a crash", table);
    assert_memory_equal(&after, &whole, sizeof(after));
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_the_state_of_one_moment),
        cmocka_unit_test(an_idle_engine_pays_all),
        cmocka_unit_test(who_asks_during_a_freeze_is_answered_by_the_next),
        cmocka_unit_test(both_journals_count),
        cmocka_unit_test(a_crash_before_all_is_paid_loses_nothing),
    };

    if (argc == 4 && !strcmp(argv[1], "live"))
        return live(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
