/*
 * checkpoint.c -- the thread between the engine and the store.
 *
 *     engine                         this thread
 *     take, give(full) --- job --->  compose: journal -> batch
 *              <--- spare ---        write, until the store takes it
 *                                    sync, when it is time or was asked for
 *
 * A journal belongs to one side at a time, and the store to this thread, so both are touched without the lock.
 * Under `lock`: what the two sides and the askers share. The store's calls, compose and the callbacks run without it.
 * After an error the store is opened anew and what it lacks is written again (tail.h): at once, then after 100 ms,
 * 200 ms ... 5 s; the wait is on the condition, so that stopping cuts it short. While the disk is low nothing is written at
 * all (disk_gate.h); the journal waits, and options.held says so.
 */
#include "checkpoint.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "compose.h"
#include "disk_gate.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "tail.h"

enum { RETRY_FIRST_MS = 100, RETRY_LAST_MS = 5000, IDLE_MS = 2000, LOOK_MS = 1000, STOP_LOOK_MS = 100 };

/* Writing and syncing fail and recover each on its own. */
struct trouble {
    const char *what;
    enum fr_status code; /* of the last attempt; logged when it changes. A sync that failed is due until one does not: its asker waits */
    int retry_ms; /* before the next attempt; the first is at once */
};

struct checkpoint {
    struct store *store;
    struct checkpoint_options options;
    struct fr_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* under lock */
    struct journal *job;   /* given, not yet taken up */
    struct journal *spare; /* empty; NULL from when it is taken until the journal given for it is written */
    uint64_t job_number;
    uint64_t taken_ns; /* when the last freeze began */
    bool job_hurried, hurried, sync_asked, stop;
    enum { COPY_NONE, COPY_ASKED, COPY_BEGUN, COPY_DONE } copy; /* of the store, to copy_to */
    const char *copy_to;
    int copy_status;
    struct fr_err copy_err;
    bool ended; /* for good: nothing will be written any more */
    uint64_t written, synced; /* numbers of journals */
    struct checkpoint_figures figures;

    /* the thread's own */
    struct composer *composer;
    struct tail *tail;
    struct disk_gate gate;
    struct fr_pulse *pulse;
    uint64_t synced_ns; /* when it last synced, or began to have something to sync */
    struct trouble writing, syncing;
    bool lost; /* the end came before the store took the last journal */
    struct fr_err err;
    struct fr_series *seconds_series, *keys_series, *bytes_series;
};

static const char *class_of(enum fr_status code)
{
    switch (code) {
    case FR_FULL:
        return "full";
    case FR_IO:
        return "io";
    case FR_CORRUPT:
        return "corrupt";
    default:
        return "other";
    }
}

/* ---- waiting ---- */

/* Under lock; a spurious wake-up is as good as any. */
static void wait_ms(struct checkpoint *checkpoint, int64_t ms)
{
    uint64_t ns = fr_mono_ns() + (uint64_t)(ms > 0 ? ms : 0) * 1000000;
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    pthread_cond_timedwait(&checkpoint->changed, &checkpoint->lock, &until);
}

static int64_t ms_since(uint64_t ns)
{
    return (int64_t)((fr_mono_ns() - ns) / 1000000);
}

/* ---- trouble ---- */

static void tell_trouble(struct checkpoint *checkpoint, struct trouble *trouble)
{
    enum fr_status code = checkpoint->err.code;

    fr_count(fr_series(FR_M_CHECKPOINT_ERRORS, class_of(code), "", ""), 1);
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->figures.events_errors++;
    pthread_mutex_unlock(&checkpoint->lock);
    if (trouble->code != code)
        fr_log(FR_ERROR, "checkpoint", "checkpoint.failed",
               FR_FIELDS(FR_TEXT("class", class_of(code)), FR_TEXT("error", checkpoint->err.text)),
               "%s failed; it is tried again until it works, and no state is lost meanwhile", trouble->what);
    trouble->code = code;
}

static void tell_relief(struct trouble *trouble)
{
    if (trouble->code)
        fr_log(FR_INFO, "checkpoint", "checkpoint.recovered", FR_NO_FIELDS, "%s works again", trouble->what);
    trouble->code = FR_OK;
    trouble->retry_ms = 0;
}

/* After a failure. False if there is to be no other attempt: `stopping` says that this was the one after the stop. */
static bool wait_to_retry(struct checkpoint *checkpoint, struct trouble *trouble, bool stopping)
{
    uint64_t begin = fr_mono_ns();

    pthread_mutex_lock(&checkpoint->lock);
    while (!stopping && !checkpoint->stop && ms_since(begin) < trouble->retry_ms) {
        fr_pulse_beat(checkpoint->pulse);
        wait_ms(checkpoint, trouble->retry_ms - ms_since(begin));
    }
    pthread_mutex_unlock(&checkpoint->lock);
    int next = trouble->retry_ms ? trouble->retry_ms * 2 : RETRY_FIRST_MS;
    trouble->retry_ms = next < RETRY_LAST_MS ? next : RETRY_LAST_MS;
    return !stopping;
}

static bool is_stopping(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    bool stop = checkpoint->stop;
    pthread_mutex_unlock(&checkpoint->lock);
    return stop;
}

/* The store cannot be gone on with: only another start can put things right. */
static void end_for_good(struct checkpoint *checkpoint)
{
    checkpoint->lost = true;
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->ended = true;
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
    fr_log(FR_ERROR, "checkpoint", "store.broken", FR_FIELDS(FR_TEXT("error", checkpoint->err.text)),
           "the store cannot be used any more in this process; it must be started again");
    if (checkpoint->options.broken)
        checkpoint->options.broken(checkpoint->options.context);
}

/* After tail_write or tail_sync has failed. False: no other attempt is to be made. */
static bool after_failure(struct checkpoint *checkpoint, struct trouble *trouble, bool stopping)
{
    tell_trouble(checkpoint, trouble);
    if (tail_broken(checkpoint->tail)) {
        end_for_good(checkpoint);
        return false;
    }
    return wait_to_retry(checkpoint, trouble, stopping);
}

/* ---- room on the disk ---- */

/* Waits until so much may be written. False if the stop comes first. */
static bool wait_for_room(struct checkpoint *checkpoint, uint64_t bytes)
{
    while (!disk_gate_look(&checkpoint->gate, bytes)) {
        fr_pulse_beat(checkpoint->pulse);
        if (is_stopping(checkpoint)) {
            fr_fail(&checkpoint->err, FR_FULL, "the disk has less room than store.disk_reserve");
            return false;
        }
        pthread_mutex_lock(&checkpoint->lock);
        if (!checkpoint->stop)
            wait_ms(checkpoint, LOOK_MS);
        pthread_mutex_unlock(&checkpoint->lock);
    }
    return true;
}

/* ---- one journal ---- */

/* What has turned out to be durable, of what was told as written. */
static void tell_durable(struct checkpoint *checkpoint)
{
    uint64_t durable = tail_durable(checkpoint->tail);

    if (durable > checkpoint->written) /* this thread alone writes it */
        durable = checkpoint->written;
    pthread_mutex_lock(&checkpoint->lock);
    bool news = durable > checkpoint->synced;
    if (news) {
        checkpoint->synced = durable;
        checkpoint->synced_ns = fr_mono_ns();
        pthread_cond_broadcast(&checkpoint->changed);
    }
    pthread_mutex_unlock(&checkpoint->lock);
    if (news && checkpoint->options.synced)
        checkpoint->options.synced(checkpoint->options.context, durable);
}

/* Into the tail, once the store holds everything before it: folding reads it. */
static int compose_next(struct checkpoint *checkpoint, const struct journal *journal, uint64_t number)
{
    struct store_batch *room = tail_room(checkpoint->tail);
    int status = compose(checkpoint->composer, journal, room, &checkpoint->err);

    if (status)
        tail_distrust(checkpoint->tail);
    else
        tail_append(checkpoint->tail, composer_number(checkpoint->composer), number);
    return status;
}

/* False if it was given up, at the end. */
static bool compose_and_write(struct checkpoint *checkpoint, const struct journal *journal, uint64_t number,
                              uint64_t *ret_keys, uint64_t *ret_bytes)
{
    bool composed = false;

    *ret_keys = *ret_bytes = 0;
    for (;;) {
        bool stopping = is_stopping(checkpoint);
        if (!wait_for_room(checkpoint, *ret_bytes))
            return false;
        fr_pulse_rest(checkpoint->pulse); /* all of it is longer the larger the journal is, and the store's reads and writes are in it */
        int status = tail_write(checkpoint->tail, &checkpoint->err);
        bool done = !status && composed;
        tell_durable(checkpoint);
        if (!status && !done && checkpoint->options.before)
            status = checkpoint->options.before(checkpoint->options.context, number, &checkpoint->err);
        if (!status && !done) {
            struct store_batch *batch = tail_room(checkpoint->tail);
            status = compose_next(checkpoint, journal, number);
            composed = !status;
            *ret_keys = composed ? checkpoint->store->ops->batch_keys(batch) : 0;
            *ret_bytes = composed ? checkpoint->store->ops->batch_bytes(batch) : 0;
            fr_crash_point("checkpoint.composed");
        }
        fr_pulse_beat(checkpoint->pulse);
        if (done) {
            tell_relief(&checkpoint->writing);
            return true;
        }
        if (status && !after_failure(checkpoint, &checkpoint->writing, stopping))
            return false;
    }
}

static void write_journal(struct checkpoint *checkpoint, struct journal *journal, uint64_t number)
{
    uint64_t begin = fr_mono_ns(), keys, bytes;

    if (!compose_and_write(checkpoint, journal, number, &keys, &bytes)) {
        checkpoint->lost = true;
        journal_free(journal);
        return;
    }
    fr_crash_point("checkpoint.written");
    double seconds = (double)(fr_mono_ns() - begin) / 1e9;
    if (!fr_defect(DEFECT_JOURNAL_KEPT))
        journal_reset(journal);
    fr_observe(checkpoint->seconds_series, seconds);
    fr_gauge(checkpoint->keys_series, (double)keys);
    fr_count(checkpoint->bytes_series, bytes);
    pthread_mutex_lock(&checkpoint->lock);
    if (checkpoint->written == checkpoint->synced)
        checkpoint->synced_ns = fr_mono_ns();
    checkpoint->written = number;
    checkpoint->figures.keys = keys;
    checkpoint->figures.bytes = bytes;
    checkpoint->figures.seconds = seconds;
    checkpoint->figures.bytes_total += bytes;
    pthread_mutex_unlock(&checkpoint->lock);
    if (checkpoint->options.written)
        checkpoint->options.written(checkpoint->options.context, number);
    fr_crash_point("checkpoint.told");
    tell_durable(checkpoint);
    /* Only now: who sees that it is due may count on written() having been called. */
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->spare = journal;
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
}

/* Syncs what is written. A failure waits, and leaves the next attempt to the loop. */
static void sync_written(struct checkpoint *checkpoint)
{
    bool stopping = is_stopping(checkpoint);

    if (tail_suspect(checkpoint->tail) && !wait_for_room(checkpoint, 0)) {
        checkpoint->lost = true;
        return;
    }
    fr_crash_point("sync.begun");
    fr_pulse_rest(checkpoint->pulse);
    int status = tail_sync(checkpoint->tail, &checkpoint->err);
    fr_pulse_beat(checkpoint->pulse);
    fr_crash_point("sync.done");
    tell_durable(checkpoint);
    fr_crash_point("sync.told");
    if (!status)
        tell_relief(&checkpoint->syncing);
    else if (!after_failure(checkpoint, &checkpoint->syncing, stopping))
        checkpoint->lost = true;
}

/* ---- a copy of the store ---- */

static void copy_store(struct checkpoint *checkpoint, const char *path)
{
    struct fr_err err = {0};
    int status = disk_gate_look(&checkpoint->gate, 0) ? FR_OK : fr_fail(&err, FR_FULL, "the disk has less room than store.disk_reserve");

    fr_pulse_rest(checkpoint->pulse);
    if (!status)
        status = tail_write(checkpoint->tail, &err); /* after an error the store must be opened anew first */
    if (!status && (status = checkpoint->store->ops->snapshot(checkpoint->store, path, &err)))
        tail_distrust(checkpoint->tail); /* what it failed at may have been the log, which takes nothing from then on */
    fr_pulse_beat(checkpoint->pulse);
    tell_durable(checkpoint);
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->copy = COPY_DONE;
    checkpoint->copy_status = status;
    checkpoint->copy_err = err;
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
}

int checkpoint_snapshot(struct checkpoint *checkpoint, const char *path, const _Atomic bool *stop, struct fr_err *err)
{
    int status;

    if (!checkpoint->store->ops->snapshot)
        return fr_fail(err, FR_INVALID, "this store cannot be copied");
    pthread_mutex_lock(&checkpoint->lock);
    assert(checkpoint->copy == COPY_NONE);
    checkpoint->copy = COPY_ASKED;
    checkpoint->copy_to = path;
    pthread_cond_broadcast(&checkpoint->changed);
    while (checkpoint->copy == COPY_BEGUN ||
           (checkpoint->copy == COPY_ASKED && !checkpoint->stop && !(stop && atomic_load(stop))))
        wait_ms(checkpoint, STOP_LOOK_MS);
    if (checkpoint->copy == COPY_ASKED) {
        status = fr_fail(err, FR_CLOSED, "the daemon is stopping");
    } else {
        status = checkpoint->copy_status;
        if (err)
            *err = checkpoint->copy_err;
    }
    checkpoint->copy = COPY_NONE;
    pthread_mutex_unlock(&checkpoint->lock);
    return status;
}

/* ---- the loop ---- */

enum step { WAIT, LOOK, WRITE, SYNC, COPY, END };

/* What to do next; under lock. */
static enum step next_step(struct checkpoint *checkpoint)
{
    bool unsynced = checkpoint->written != checkpoint->synced;
    bool look = ms_since(checkpoint->gate.looked_ns) >= LOOK_MS;

    if (checkpoint->lost)
        return END;
    if (checkpoint->copy == COPY_ASKED && !checkpoint->stop)
        return COPY;
    if (unsynced && (checkpoint->sync_asked || tail_long(checkpoint->tail))) /* its bound: what cannot be synced is not added to */
        return SYNC;
    if (checkpoint->job)
        return WRITE;
    if (unsynced && (checkpoint->syncing.code || checkpoint->stop || ms_since(checkpoint->synced_ns) >= checkpoint->options.wal_sync_interval))
        return SYNC;
    checkpoint->sync_asked = unsynced && checkpoint->sync_asked;
    return checkpoint->stop ? END : look ? LOOK : WAIT;
}

static int64_t wait_at_most(const struct checkpoint *checkpoint)
{
    int64_t left = checkpoint->options.wal_sync_interval - ms_since(checkpoint->synced_ns);
    int64_t most = checkpoint->options.disk_reserve ? LOOK_MS : IDLE_MS;

    if (checkpoint->written == checkpoint->synced || left > most)
        return most;
    return left > 0 ? left : 1;
}

static void run(void *arg)
{
    struct checkpoint *checkpoint = arg;
    bool going = true;

    checkpoint->gate.pulse = checkpoint->pulse = fr_pulse_start("checkpoint");
    pthread_mutex_lock(&checkpoint->lock);
    while (going) {
        switch (next_step(checkpoint)) {
        case WAIT:
            fr_pulse_beat(checkpoint->pulse);
            wait_ms(checkpoint, wait_at_most(checkpoint));
            break;
        case LOOK:
            pthread_mutex_unlock(&checkpoint->lock);
            disk_gate_look(&checkpoint->gate, 0);
            pthread_mutex_lock(&checkpoint->lock);
            break;
        case WRITE: {
            struct journal *journal = checkpoint->job;
            uint64_t number = checkpoint->job_number;
            checkpoint->job = NULL;
            checkpoint->sync_asked = checkpoint->sync_asked || checkpoint->job_hurried;
            pthread_mutex_unlock(&checkpoint->lock);
            write_journal(checkpoint, journal, number);
            pthread_mutex_lock(&checkpoint->lock);
            break;
        }
        case SYNC:
            checkpoint->sync_asked = checkpoint->job; /* given before it was asked for, perhaps: then it is meant, too */
            pthread_mutex_unlock(&checkpoint->lock);
            sync_written(checkpoint);
            pthread_mutex_lock(&checkpoint->lock);
            break;
        case COPY:
            checkpoint->copy = COPY_BEGUN; /* who has asked waits for the end of it, and leaves copy_to alone */
            pthread_mutex_unlock(&checkpoint->lock);
            copy_store(checkpoint, checkpoint->copy_to);
            pthread_mutex_lock(&checkpoint->lock);
            break;
        case END:
            going = false;
            break;
        }
    }
    pthread_mutex_unlock(&checkpoint->lock);
    fr_pulse_stop(checkpoint->pulse);
}

/* ---- from outside ---- */

struct checkpoint *checkpoint_start(struct store *store, const struct checkpoint_options *options)
{
    struct checkpoint *checkpoint = fr_zalloc(1, sizeof(*checkpoint));
    pthread_condattr_t monotonic;

    checkpoint->store = store;
    checkpoint->options = *options;
    checkpoint->spare = journal_new();
    checkpoint->composer = composer_new(store);
    checkpoint->tail = tail_new(store);
    checkpoint->gate = (struct disk_gate){.reserve = options->disk_reserve,
                                          .free = options->disk_free,
                                          .held = options->held,
                                          .context = options->context};
    checkpoint->writing = (struct trouble){.what = "writing a checkpoint"};
    checkpoint->syncing = (struct trouble){.what = "syncing the store"};
    checkpoint->seconds_series = FR_SERIES(FR_M_CHECKPOINT_SECONDS);
    checkpoint->keys_series = FR_SERIES(FR_M_CHECKPOINT_KEYS);
    checkpoint->bytes_series = FR_SERIES(FR_M_CHECKPOINT_BYTES);
    static const enum fr_status classes[] = {FR_FULL, FR_IO, FR_CORRUPT, FR_INTERNAL};
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) /* there from the start, at 0 */
        fr_series(FR_M_CHECKPOINT_ERRORS, class_of(classes[i]), "", "");
    pthread_mutex_init(&checkpoint->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&checkpoint->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    checkpoint->thread = fr_thread_start_nice("checkpoint", FR_NICE_INGEST, run, checkpoint);
    return checkpoint;
}

bool checkpoint_stop(struct checkpoint *checkpoint, struct fr_err *err)
{
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->stop = true;
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
    fr_thread_join(checkpoint->thread);
    bool saved = !checkpoint->lost;
    if (!saved && err)
        *err = checkpoint->err;
    tail_free(checkpoint->tail);
    composer_free(checkpoint->composer);
    journal_free(checkpoint->job);
    journal_free(checkpoint->spare);
    pthread_cond_destroy(&checkpoint->changed);
    pthread_mutex_destroy(&checkpoint->lock);
    free(checkpoint);
    return saved;
}

/* Milliseconds until it is due; -1: not before the last journal is written. Under lock. */
static int64_t due_in(const struct checkpoint *checkpoint)
{
    if (!checkpoint->spare)
        return -1;
    if (checkpoint->hurried || !checkpoint->taken_ns)
        return 0;
    int64_t left = checkpoint->options.interval - ms_since(checkpoint->taken_ns);
    return left > 0 ? left : 0;
}

bool checkpoint_due(struct checkpoint *checkpoint)
{
    return checkpoint_wait_due(checkpoint, 0);
}

bool checkpoint_wait_due(struct checkpoint *checkpoint, int timeout_ms)
{
    uint64_t begin = fr_mono_ns();
    int64_t due, left;

    pthread_mutex_lock(&checkpoint->lock);
    while ((due = due_in(checkpoint)) != 0 && (left = timeout_ms - ms_since(begin)) > 0)
        wait_ms(checkpoint, due > 0 && due < left ? due : left);
    pthread_mutex_unlock(&checkpoint->lock);
    return due == 0;
}

bool checkpoint_ended(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    bool ended = checkpoint->ended;
    pthread_mutex_unlock(&checkpoint->lock);
    return ended;
}

struct journal *checkpoint_take(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    struct journal *empty = checkpoint->spare;
    assert(empty && !checkpoint->job);
    checkpoint->spare = NULL;
    checkpoint->job_hurried = checkpoint->hurried;
    checkpoint->hurried = false; /* from here on it is the next one that is asked for */
    checkpoint->taken_ns = fr_mono_ns();
    pthread_mutex_unlock(&checkpoint->lock);
    return empty;
}

void checkpoint_give(struct checkpoint *checkpoint, struct journal *full, uint64_t number)
{
    pthread_mutex_lock(&checkpoint->lock);
    assert(!checkpoint->spare && !checkpoint->job && number > checkpoint->written);
    checkpoint->job = full;
    checkpoint->job_number = number;
    checkpoint->job_hurried = checkpoint->job_hurried || checkpoint->hurried; /* the next one waits for it, too */
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
}

void checkpoint_hurry(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    checkpoint->hurried = true;
    checkpoint->sync_asked = true; /* what is written, even if nothing more comes */
    pthread_cond_broadcast(&checkpoint->changed);
    pthread_mutex_unlock(&checkpoint->lock);
}

uint64_t checkpoint_written(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    uint64_t number = checkpoint->written;
    pthread_mutex_unlock(&checkpoint->lock);
    return number;
}

uint64_t checkpoint_synced(struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->lock);
    uint64_t number = checkpoint->synced;
    pthread_mutex_unlock(&checkpoint->lock);
    return number;
}

void checkpoint_figures(struct checkpoint *checkpoint, struct checkpoint_figures *ret_figures)
{
    pthread_mutex_lock(&checkpoint->lock);
    *ret_figures = checkpoint->figures;
    pthread_mutex_unlock(&checkpoint->lock);
}
