/*
 * engine.c -- the one thread that writes state: open, run, stop.
 *
 *     loop:   a batch given? apply it, give it back     a checkpoint due? freeze, pay, hand over     free what readers have left
 *
 * Of a batch that takes long it applies a part each time around, so what comes round with the loop is late by a part, not by a batch. It never waits for a reader, the disk or the network. It stops taking batches only while what no write holds yet, the journal of
 * the moment and the one set aside, is at its limit; feed then stops polling, and queries go on.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/crash.h"
#include "freshet/log.h"

enum { IDLE_MS = 200, BUSY_MS = 10, STOP_MS = 10000, SETTLE_LOOK_MS = 2, CATEGORIES_STANDARD = 100000,
       PART_WORK = 1 << 20 /* pairs of items: about a tenth of a second, and 10 MB of journal */ };

/* ---- batches; thread: feed ---- */

/* Must records come whole? All batches there are may yet bring new ids before the one at hand is applied. */
static bool room_ends(const struct engine *engine)
{
    enum { MORE = BATCHES * EVENT_BATCH_MAX };

    return memory_full(engine) || !dict_has_room(engine->users, MORE) || !dict_has_room(engine->items, MORE) ||
           atomic_load_explicit(&engine->sequences_end, memory_order_relaxed);
}

struct event_batch *engine_batch_take(struct engine *engine, int timeout_ms)
{
    struct event_batch *batch;

    if (!holds_pass(engine, timeout_ms))
        return NULL;
    if (!outbox_has_room(engine, timeout_ms) || !(batch = fr_queue_pop(engine->spare, timeout_ms))) {
        holds_back(engine);
        return NULL;
    }
    atomic_fetch_add(&engine->batches_bare, 1); /* first: whoever closes admission meanwhile knows of it (memory_decide) */
    batch->bare = false;
    batch->whole = room_ends(engine);
    if (batch->whole)
        atomic_fetch_sub(&engine->batches_bare, 1);
    return batch;
}

bool engine_batch_wants_record(struct engine *engine, struct event_batch *batch, enum event_kind kind)
{
    if (batch->whole)
        return true;
    bool wants = room_ends(engine);
    if (wants && !batch->bare) { /* it has waited for its first record, and others have taken the room meanwhile */
        batch->whole = true;
        atomic_fetch_sub(&engine->batches_bare, 1);
    }
    wants = wants || kind == EVENT_ITEM || kind == EVENT_USER; /* the catalogue has bounds of its own, which depend on what is said */
    batch->bare = batch->bare || !wants;
    return wants;
}

void engine_batch_give(struct engine *engine, struct event_batch *batch)
{
    int64_t oldest = -1;

    for (uint32_t i = 0; i < batch->len; i++)
        if (batch->events[i].logged >= 0 && (oldest < 0 || batch->events[i].logged < oldest))
            oldest = batch->events[i].logged;
    pthread_mutex_lock(&engine->give_lock); /* each topic's feed gives: numbers are in the order of the queue */
    uint64_t number = atomic_load_explicit(&engine->batches_given, memory_order_relaxed);
    atomic_store_explicit(&engine->batch_oldest[number % (BATCHES * 2)], oldest, memory_order_relaxed);
    atomic_store_explicit(&engine->batches_given, number + 1, memory_order_release);
    holds_back(engine);
    fr_queue_push(engine->given, batch, -1); /* room for all batches: never waits */
    pthread_mutex_unlock(&engine->give_lock);
}

uint64_t engine_given(const struct engine *engine)
{
    return atomic_load_explicit(&engine->batches_given, memory_order_acquire);
}

bool engine_applied(const struct engine *engine, uint64_t given)
{
    return atomic_load_explicit(&engine->batches_done, memory_order_acquire) >= given;
}

/* One at most is on its way: with more the queue could be full of them while the engine takes nothing, and feed would wait. */
void engine_nudge(struct engine *engine)
{
    if (!atomic_exchange(&engine->nudged, true))
        fr_queue_push(engine->given, &engine->nudge, 0);
}

/* ---- the loop ---- */

static bool journal_full(const struct engine *engine)
{
    size_t aside = engine->aside ? journal_bytes(engine->aside) : 0;

    return aside + journal_bytes(engine->journal) > (size_t)engine->options.uncommitted_mb_max << 20;
}

/* Is there nothing to do but to wait for a batch? */
static bool at_rest(const struct engine *engine)
{
    return journal_empty(engine->journal) && !models_unpublished(engine) && !forgetting_goes_on(engine) && !watch_owes(engine);
}

static int wait_for_batch(const struct engine *engine, bool stopping)
{
    if (stopping || engine->aside) /* what is owed to a freeze is paid, whether events come or not */
        return 0;
    return at_rest(engine) ? IDLE_MS : BUSY_MS;
}

static void give_back(struct engine *engine, struct event_batch *batch)
{
    if (!batch->whole)
        atomic_fetch_sub(&engine->batches_bare, 1);
    batch->len = 0;
    fr_arena_reset(&batch->arena);
    fr_queue_push(engine->spare, batch, -1);
}

/* A part of the batch. Returns what is to be gone on with: the same, or NULL. */
static struct event_batch *apply_some(struct engine *engine, struct event_batch *batch)
{
    if (!batch->applied)
        memory_decide(engine, batch);
    if (!apply_part(engine, batch))
        return batch;
    atomic_fetch_add_explicit(&engine->batches_done, 1, memory_order_release);
    give_back(engine, batch);
    return NULL;
}

static void run(void *arg)
{
    struct engine *engine = arg;
    struct event_batch *rest = NULL; /* a batch of which a part is applied */

    engine->pulse = fr_pulse_start("engine");
    for (;;) {
        struct event_batch *batch = NULL;
        bool stopping = atomic_load_explicit(&engine->stop, memory_order_acquire);
        if (stopping || !journal_full(engine))
            batch = rest ? rest : fr_queue_pop(engine->given, wait_for_batch(engine, stopping));
        else if (!engine->aside)
            checkpoint_wait_due(engine->checkpoint, BUSY_MS);
        if (batch == &engine->nudge) {
            atomic_store(&engine->nudged, false);
        } else if (batch) {
            rest = apply_some(engine, batch);
        }
        watch_tell_everyone(engine);
        models_publish_due(engine, !rest && fr_queue_len(engine->given) == 0);
        if (!journal_full(engine))
            forget_slice(engine);
        memory_look(engine);
        refresh_show(engine->refresh);
        publish_pay(engine);
        publish_freeze(engine);
        fr_epoch_reclaim(engine->epoch);
        fr_pulse_beat(engine->pulse);
        if (stopping && !batch && !engine->aside)
            break;
    }
    fr_pulse_stop(engine->pulse);
    engine->pulse = NULL;
}

/* ---- open, start, stop ---- */

static void open_state(struct engine *engine)
{
    const struct engine_options *options = &engine->options;

    engine->epoch = fr_epoch_new();
    engine->users = dict_new(options->users_max, engine->epoch);
    engine->items = dict_new(options->items_max, engine->epoch);
    engine->histories = histories_new(&(struct histories_options){.users_max = options->users_max,
                                                                  .units = options->normalize,
                                                                  .half_life = options->sar.half_life},
                                      engine->epoch);
    engine->catalogue = catalogue_new(
        &(struct catalogue_options){.users_max = options->users_max,
                                    .items_max = options->items_max,
                                    .categories_max = options->categories_max ? options->categories_max : CATEGORIES_STANDARD,
                                    .bytes_max = (size_t)options->catalogue_mb_max << 20},
        engine->epoch);
    fr_array_init(&engine->item_users, sizeof(_Atomic uint32_t), options->items_max);
    fr_array_init(&engine->item_bytes, sizeof(_Atomic uint8_t), options->items_max);
    fr_array_init(&engine->item_first_seen, sizeof(_Atomic int64_t), options->items_max);
    fr_array_init(&engine->page_peak, sizeof(_Atomic uint32_t), options->items_max / POPULAR_PAGE + 1);
    fr_array_init(&engine->page_newest, sizeof(_Atomic int64_t), options->items_max / POPULAR_PAGE + 1);
    if (options->user_postings)
        engine->postings = rows_new(options->items_max, engine->epoch);
    if (options->dedup_window > 0)
        engine->dedup = dedup_new(options->dedup_window, options->dedup_max);
    engine->cutoffs = cutoffs_new();
    engine->forgetting = forgetting_new(engine);
    if (options->normalize)
        engine->extremes = extremes_new(engine->histories, options->sar.half_life);
    engine->journal = journal_new();
    engine->work_max = PART_WORK;
}

static void open_threads_room(struct engine *engine)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->give_lock, NULL);
    pthread_mutex_init(&engine->outbox_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->outbox_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    holds_init(engine);
    engine->board = board_new();
    engine->freezes_tail = &engine->freezes;
    engine->given = fr_queue_new(BATCHES + 1);
    engine->spare = fr_queue_new(BATCHES);
    for (int i = 0; i < BATCHES; i++) {
        engine->batches[i] = fr_zalloc(1, sizeof(*engine->batches[i]));
        fr_queue_push(engine->spare, engine->batches[i], 0);
    }
}

static void open_series(struct engine *engine)
{
    size_t types = engine->options.types_len;

    engine->type_counts = fr_zalloc(types, sizeof(*engine->type_counts));
    engine->type_series = fr_zalloc(types, sizeof(*engine->type_series));
    for (size_t t = 0; t < types; t++)
        engine->type_series[t] = fr_series(FR_M_EVENTS_APPLIED, engine->options.types[t], "", "");
    engine->duplicate_series = FR_SERIES(FR_M_EVENTS_DUPLICATE);
    engine->visible_series = FR_SERIES(FR_M_EVENT_TO_VISIBLE);
    engine->pause_series = FR_SERIES(FR_M_ENGINE_PAUSE);
    engine->evicted_series = FR_SERIES(FR_M_HISTORY_EVICTED);
    static const char *const said[SAID_KINDS] = {"item", "item_gone", "user", "user_gone"};
    for (size_t i = 0; i < SAID_KINDS; i++)
        engine->said_series[i] = fr_series(FR_M_CATALOGUE_RECORDS, said[i], "", "");
    static const char *const reasons[] = {"undecodable", "user_id", "item_id", "key", "bounds", "value", "time", "null", "capacity", "crash"};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        fr_series(FR_M_EVENTS_REJECTED, reasons[i], "", "");
        fr_series(FR_M_DEAD_LETTERS, reasons[i], "", "");
    }
}

int engine_open(struct engine **ret_engine, const struct engine_options *options, struct store *store, struct fr_err *err)
{
    struct engine *engine = fr_zalloc(1, sizeof(*engine));

    assert(options->types_len > 0 && options->items_max > 0 && options->users_max > 0);
    engine->options = *options;
    engine->store = store;
    engine->opened = fr_wall_ms();
    atomic_init(&engine->now, -1);
    open_threads_room(engine);
    open_series(engine);
    open_state(engine);
    int status = models_open(engine, err);
    if (!status) {
        engine->evaluator = evaluator_new(engine);
        status = recover(engine, err);
    }
    if (!status)
        status = memory_recover(engine, err);
    if (status) {
        engine_free(engine);
        return status;
    }
    models_publish(engine);
    engine->refresh = refresh_new(engine);
    *ret_engine = engine;
    return FR_OK;
}

/* ---- what the checkpoint's thread asks and tells ---- */

static uint64_t disk_free(void *context)
{
    struct engine *engine = context;

    return engine->options.disk_free(engine->options.context);
}

static void disk_held(void *context, bool low)
{
    engine_hold(context, HOLD_DISK, low);
}

static void store_broken(void *context)
{
    struct engine *engine = context;

    if (engine->options.broken)
        engine->options.broken(engine->options.context);
}

int engine_start(struct engine *engine, struct fr_err *err)
{
    (void)err;
    engine->checkpoint = checkpoint_start(engine->store, &(struct checkpoint_options){
                                                             .interval = engine->options.checkpoint_interval,
                                                             .wal_sync_interval = engine->options.wal_sync_interval,
                                                             .before = forget_note,
                                                             .written = publish_written,
                                                             .synced = publish_synced,
                                                             .disk_reserve = engine->options.disk_reserve,
                                                             .disk_free = engine->options.disk_free ? disk_free : NULL,
                                                             .held = disk_held,
                                                             .broken = store_broken,
                                                             .context = engine,
                                                         });
    fr_gauge(FR_SERIES(FR_M_CHECKPOINT_INTERVAL), (double)engine->options.checkpoint_interval / 1000);
    fr_metric_collector(publish_figures, engine);
    engine->thread = fr_thread_start_nice("engine", FR_NICE_INGEST, run, engine);
    refresh_start(engine->refresh);
    return FR_OK;
}

bool engine_stop(struct engine *engine, struct fr_err *err)
{
    bool saved = true;

    if (!engine->thread)
        return true;
    refresh_stop(engine->refresh);
    engine_checkpoint_ask(engine); /* whatever was given so far goes into a last freeze */
    atomic_store_explicit(&engine->stop, true, memory_order_release);
    engine_nudge(engine);
    fr_thread_join(engine->thread);
    engine->thread = NULL;
    fr_crash_point("stop.applied");
    checkpoint_hurry(engine->checkpoint);
    if (!checkpoint_ended(engine->checkpoint) && checkpoint_wait_due(engine->checkpoint, STOP_MS)) {
        publish_freeze(engine);
        while (engine->aside)
            publish_pay(engine);
        fr_crash_point("stop.frozen");
    } else { /* what is in memory will be read from Kafka again */
        saved = false;
        fr_fail(err, FR_IO, "the store has not taken the checkpoint before within %d s", STOP_MS / 1000);
    }
    saved = checkpoint_stop(engine->checkpoint, err) && saved;
    fr_crash_point("stop.synced");
    engine->checkpoint = NULL;
    fr_metric_collector_remove(publish_figures, engine);
    pthread_mutex_lock(&engine->outbox_lock);
    atomic_store(&engine->outbox_closed, true);
    pthread_cond_broadcast(&engine->outbox_changed);
    pthread_mutex_unlock(&engine->outbox_lock);
    return saved;
}

bool engine_settle(struct engine *engine, int timeout_ms)
{
    uint64_t given = atomic_load(&engine->batches_given), deadline = fr_mono_ns() + (uint64_t)timeout_ms * 1000000;
    uint64_t ticket = 0;

    while (fr_mono_ns() < deadline) {
        if (!ticket && atomic_load_explicit(&engine->batches_done, memory_order_acquire) >= given)
            ticket = engine_checkpoint_ask(engine);
        if (ticket && !models_unpublished(engine) && engine_checkpoint_done(engine, ticket, NULL))
            return true;
        poll(NULL, 0, SETTLE_LOOK_MS);
    }
    return false;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    evaluator_free(engine->evaluator);
    refresh_free(engine->refresh);
    outbox_release(engine);
    fr_epoch_reclaim(engine->epoch); /* no reader is left: all of it, while the slabs it came from are still there */
    models_close(engine);
    extremes_free(engine->extremes);
    if (engine->postings)
        rows_free(engine->postings);
    if (engine->dedup)
        dedup_free(engine->dedup);
    catalogue_free(engine->catalogue);
    forgetting_free(engine->forgetting);
    cutoffs_free(engine->cutoffs);
    histories_free(engine->histories);
    dict_free(engine->users);
    dict_free(engine->items);
    fr_epoch_free(engine->epoch);
    journal_free(engine->journal);
    journal_free(engine->aside);
    fr_array_release(&engine->item_users);
    fr_array_release(&engine->item_bytes);
    fr_array_release(&engine->item_first_seen);
    fr_array_release(&engine->page_peak);
    fr_array_release(&engine->page_newest);
    for (uint32_t i = 0; i < PARTITIONS_MAX; i++) {
        if (engine->partitions[i])
            free(engine->partitions[i]->holes);
        free(engine->partitions[i]);
    }
    while (engine->freezes) {
        struct freeze *freeze = engine->freezes;
        engine->freezes = freeze->after;
        free(freeze->next);
        free(freeze);
    }
    for (int i = 0; i < BATCHES; i++) {
        fr_arena_release(&engine->batches[i]->arena);
        free(engine->batches[i]);
    }
    fr_queue_free(engine->given);
    fr_queue_free(engine->spare);
    free(engine->type_counts);
    free(engine->type_series);
    holds_release(engine);
    board_free(engine->board);
    pthread_cond_destroy(&engine->outbox_changed);
    pthread_mutex_destroy(&engine->outbox_lock);
    pthread_mutex_destroy(&engine->give_lock);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

bool engine_reached(struct engine *engine, struct fr_bytes topic, int32_t partition, int64_t next)
{
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);

    for (uint32_t i = 0; i < len; i++)
        if (engine->partitions[i]->number == partition &&
            fr_bytes_equal(fr_bytes_of(engine->partitions[i]->topic), topic))
            return atomic_load_explicit(&engine->partitions[i]->next, memory_order_acquire) >= next;
    return false;
}
