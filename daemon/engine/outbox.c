/*
 * outbox.c -- dead letters, from the engine to the store to Kafka and out again.
 *
 *     engine adds      WAITS     its key is in the journal, with the offset that steps past the bad record
 *     freeze synced    READY     a crash can no longer undo it: it may be seen outside
 *     delivery takes   TAKEN     and either gives it back (READY) or
 *     Kafka has it     DONE      the engine journals the key's deletion and frees the entry
 *
 * So a bad record is never lost: it is either still before the stored offset, or in the store, or acknowledged by Kafka. A crash
 * between Kafka's acknowledgement and the deletion sends it again: at least once.
 *
 * Each stage is a list, oldest first, so that every step is O(1); an entry is found by its id in a small hash. Memory is bounded by outbox_mb_max: engine_batch_take refuses
 * while it is exceeded.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_private.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/format.h"

static char *keep(char **at, struct fr_bytes bytes)
{
    char *kept = *at;

    if (bytes.len)
        memcpy(kept, bytes.at, bytes.len);
    *at += bytes.len;
    return kept;
}

/* One allocation holds the entry and all its bytes. */
static struct outbox_entry *entry_new(const struct dead_letter *letter)
{
    size_t bytes = sizeof(struct outbox_entry) + letter->topic.len + letter->key.len + letter->value.len +
                   letter->reason.len + letter->message.len;
    struct outbox_entry *entry = fr_alloc(bytes + 1);
    char *at = (char *)(entry + 1);

    *entry = (struct outbox_entry){.letter = *letter, .bytes = bytes, .stage = OUTBOX_WAITS};
    entry->letter.topic.at = keep(&at, letter->topic);
    entry->letter.key.at = keep(&at, letter->key);
    entry->letter.value.at = keep(&at, letter->value);
    entry->letter.reason.at = keep(&at, letter->reason);
    entry->letter.message.at = keep(&at, letter->message);
    return entry;
}

/* Under the outbox lock, as all that follows here. */
static void enlist(struct engine *engine, struct outbox_entry *entry, enum outbox_stage stage)
{
    struct outbox_list *list = &engine->outbox[stage];

    entry->stage = stage;
    entry->before = list->last;
    entry->after = NULL;
    *(list->last ? &list->last->after : &list->first) = entry;
    list->last = entry;
}

static void delist(struct engine *engine, struct outbox_entry *entry)
{
    struct outbox_list *list = &engine->outbox[entry->stage];

    *(entry->before ? &entry->before->after : &list->first) = entry->after;
    *(entry->after ? &entry->after->before : &list->last) = entry->before;
}

static void move(struct engine *engine, struct outbox_entry *entry, enum outbox_stage stage)
{
    delist(engine, entry);
    enlist(engine, entry, stage);
}

static struct outbox_entry **bucket_link(struct engine *engine, uint64_t id)
{
    struct outbox_entry **link = &engine->outbox_by_id[id % OUTBOX_BUCKETS];

    while (*link && (*link)->letter.id != id)
        link = &(*link)->same_bucket;
    return link;
}

static bool all_done(const struct engine *engine)
{
    return !engine->outbox[OUTBOX_WAITS].first && !engine->outbox[OUTBOX_READY].first &&
           !engine->outbox[OUTBOX_TAKEN].first;
}

static void append(struct engine *engine, struct outbox_entry *entry, enum outbox_stage stage)
{
    pthread_mutex_lock(&engine->outbox_lock);
    if (all_done(engine))
        engine->outbox_moved_ns = fr_mono_ns();
    enlist(engine, entry, stage);
    entry->same_bucket = engine->outbox_by_id[entry->letter.id % OUTBOX_BUCKETS];
    engine->outbox_by_id[entry->letter.id % OUTBOX_BUCKETS] = entry;
    pthread_mutex_unlock(&engine->outbox_lock);
    atomic_fetch_add(&engine->outbox_bytes, entry->bytes);
    atomic_fetch_add(&engine->outbox_len, 1);
}

static void discard(struct engine *engine, struct outbox_entry *entry)
{
    delist(engine, entry);
    *bucket_link(engine, entry->letter.id) = entry->same_bucket;
    atomic_fetch_sub(&engine->outbox_bytes, entry->bytes);
    atomic_fetch_sub(&engine->outbox_len, 1);
    free(entry);
}

static void journal_letter(struct engine *engine, const struct dead_letter *letter)
{
    struct fr_writer key, value;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_letter_key(&key, letter->id);
    format_letter_value(&value, &(struct format_letter){
                                    .topic = letter->topic,
                                    .partition = letter->partition,
                                    .offset = letter->offset,
                                    .logged = letter->logged,
                                    .has_key = letter->has_key,
                                    .has_value = letter->has_value,
                                    .key = letter->key,
                                    .value = letter->value,
                                    .reason = letter->reason,
                                    .message = letter->message,
                                });
    journal_key_put(engine->journal, fr_written(&key), fr_written(&value));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

void outbox_add(struct engine *engine, const struct event *event)
{
    const struct partition *partition = partition_at(engine, event->partition);
    const struct reject *reject = event->reject;
    struct dead_letter letter = {
        .id = ++engine->outbox_last_id,
        .topic = fr_bytes_of(partition->topic),
        .partition = partition->number,
        .offset = event->offset,
        .logged = reject->logged,
        .has_key = reject->has_key,
        .has_value = reject->has_value,
        .key = reject->key,
        .value = reject->value,
        .reason = fr_bytes_of(reject->reason),
        .message = reject->message,
    };
    struct outbox_entry *entry = entry_new(&letter);

    fr_count(fr_series(FR_M_EVENTS_REJECTED, reject->reason, "", ""), 1);
    entry->frozen_in = engine->frozen + 1;
    if (!fr_defect(DEFECT_OUTBOX_IN_MEMORY))
        journal_letter(engine, &letter);
    fr_crash_point("letter.journaled");
    append(engine, entry, OUTBOX_WAITS);
}

void outbox_collect(struct engine *engine)
{
    struct outbox_entry *entry;
    struct fr_writer key;

    if (!atomic_load_explicit(&engine->outbox_len, memory_order_relaxed))
        return;
    fr_writer_init(&key, 0);
    pthread_mutex_lock(&engine->outbox_lock);
    while ((entry = engine->outbox[OUTBOX_DONE].first)) {
        fr_writer_reset(&key);
        format_letter_key(&key, entry->letter.id);
        journal_key_delete(engine->journal, fr_written(&key));
        fr_crash_point("letter.leaves");
        discard(engine, entry);
    }
    pthread_cond_broadcast(&engine->outbox_changed); /* there may be room now */
    pthread_mutex_unlock(&engine->outbox_lock);
    fr_writer_release(&key);
}

void outbox_synced(struct engine *engine, uint64_t number)
{
    struct outbox_entry *entry;

    pthread_mutex_lock(&engine->outbox_lock);
    while ((entry = engine->outbox[OUTBOX_WAITS].first) && entry->frozen_in <= number)
        move(engine, entry, OUTBOX_READY);
    fr_crash_point("letter.ready");
    pthread_cond_broadcast(&engine->outbox_changed);
    pthread_mutex_unlock(&engine->outbox_lock);
}

static struct timespec in_ms(int timeout_ms)
{
    uint64_t until = fr_mono_ns() + (uint64_t)timeout_ms * 1000000;

    return (struct timespec){.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
}

bool outbox_has_room(struct engine *engine, int timeout_ms)
{
    const size_t max = (size_t)engine->options.outbox_mb_max << 20;
    struct timespec until;

    if (atomic_load_explicit(&engine->outbox_bytes, memory_order_relaxed) <= max)
        return true;
    until = in_ms(timeout_ms);
    pthread_mutex_lock(&engine->outbox_lock);
    while (atomic_load(&engine->outbox_bytes) > max && !atomic_load(&engine->outbox_closed))
        if (pthread_cond_timedwait(&engine->outbox_changed, &engine->outbox_lock, &until))
            break;
    pthread_mutex_unlock(&engine->outbox_lock);
    return atomic_load(&engine->outbox_bytes) <= max;
}

const struct dead_letter *engine_outbox_take(struct engine *engine, int timeout_ms)
{
    struct outbox_entry *entry = NULL;
    struct timespec until = in_ms(timeout_ms);

    pthread_mutex_lock(&engine->outbox_lock);
    while (!(entry = engine->outbox[OUTBOX_READY].first) && !atomic_load(&engine->outbox_closed))
        if (pthread_cond_timedwait(&engine->outbox_changed, &engine->outbox_lock, &until))
            break;
    if (entry)
        move(engine, entry, OUTBOX_TAKEN);
    pthread_mutex_unlock(&engine->outbox_lock);
    return entry ? &entry->letter : NULL;
}

bool engine_outbox_wait_empty(struct engine *engine, int timeout_ms)
{
    struct timespec until = in_ms(timeout_ms);

    pthread_mutex_lock(&engine->outbox_lock);
    while (!all_done(engine))
        if (pthread_cond_timedwait(&engine->outbox_changed, &engine->outbox_lock, &until))
            break;
    bool empty = all_done(engine);
    pthread_mutex_unlock(&engine->outbox_lock);
    return empty;
}

static void restage(struct engine *engine, uint64_t id, enum outbox_stage stage)
{
    pthread_mutex_lock(&engine->outbox_lock);
    struct outbox_entry *entry = *bucket_link(engine, id);
    assert(entry && entry->stage == OUTBOX_TAKEN);
    move(engine, entry, stage);
    if (stage == OUTBOX_DONE)
        engine->outbox_moved_ns = fr_mono_ns();
    pthread_cond_broadcast(&engine->outbox_changed);
    pthread_mutex_unlock(&engine->outbox_lock);
}

void engine_outbox_done(struct engine *engine, uint64_t id)
{
    restage(engine, id, OUTBOX_DONE);
}

void engine_outbox_again(struct engine *engine, uint64_t id)
{
    restage(engine, id, OUTBOX_READY);
}

double outbox_tell(struct engine *engine, size_t *ret_len)
{
    pthread_mutex_lock(&engine->outbox_lock);
    bool none = all_done(engine);
    double seconds = none ? 0 : (double)(fr_mono_ns() - engine->outbox_moved_ns) / 1e9;
    pthread_mutex_unlock(&engine->outbox_lock);
    *ret_len = none ? 0 : atomic_load(&engine->outbox_len); /* with those that leave the store at this moment */
    return seconds;
}

int outbox_recover(struct engine *engine, struct fr_err *err)
{
    struct store_iter *iter = engine->store->ops->iterate(engine->store, fr_bytes_of(FORMAT_LETTER_PREFIX));
    struct fr_bytes key, value;
    int status = FR_OK;

    while (!status && engine->store->ops->next(iter, &key, &value)) {
        struct format_letter stored;
        struct outbox_entry *entry;
        if (!format_letter_read(key, value, &stored)) {
            status = fr_fail(err, FR_CORRUPT, "a dead letter in the store cannot be read");
            break;
        }
        entry = entry_new(&(struct dead_letter){
            .id = stored.id,
            .topic = stored.topic,
            .partition = stored.partition,
            .offset = stored.offset,
            .logged = stored.logged,
            .has_key = stored.has_key,
            .has_value = stored.has_value,
            .key = stored.key,
            .value = stored.value,
            .reason = stored.reason,
            .message = stored.message,
        });
        engine->outbox_last_id = stored.id;
        append(engine, entry, OUTBOX_READY);
    }
    int closed = engine->store->ops->iter_close(iter, status ? NULL : err);
    return status ? status : closed;
}

void outbox_release(struct engine *engine)
{
    for (int stage = 0; stage < OUTBOX_STAGES; stage++)
        while (engine->outbox[stage].first)
            discard(engine, engine->outbox[stage].first);
}
