/*
 * fake_engine.c -- see fake_engine.h. One lock, one condition.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fake_engine.h"
#include "freshet/alloc.h"

enum { WAIT_MAX_S = 120 };

struct engine *fake_engine_new(void)
{
    struct engine *engine = fr_zalloc(1, sizeof(*engine));
    pthread_condattr_t attributes;

    pthread_mutex_init(&engine->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    for (; engine->batches_len < FAKE_BATCHES; engine->batches_len++)
        engine->batches[engine->batches_len] = fr_zalloc(1, sizeof(struct event_batch));
    return engine;
}

static void letter_free(struct fake_letter *letter)
{
    free((char *)letter->letter.key.at);
    free((char *)letter->letter.value.at);
    free((char *)letter->letter.message.at);
    free((char *)letter->letter.reason.at);
    free(letter);
}

void fake_engine_free(struct engine *engine)
{
    if (engine->batches_len != FAKE_BATCHES)
        abort(); /* feed has kept a batch */
    while (engine->batches_len) {
        struct event_batch *batch = engine->batches[--engine->batches_len];
        fr_arena_release(&batch->arena);
        free(batch);
    }
    for (size_t i = 0; i < engine->letters_len; i++)
        letter_free(engine->letters[i]);
    free(engine->letters);
    free(engine->events);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

static void lock(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
}

static void unlock(struct engine *engine)
{
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

static struct timespec later(int timeout_ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000L;
    }
    return end;
}

bool fake_engine_wait(struct engine *engine, bool (*ready)(const struct engine *engine, const void *want),
                      const void *want)
{
    struct timespec end = later(WAIT_MAX_S * 1000);
    bool good;

    lock(engine);
    while (!(good = ready(engine, want)) && pthread_cond_timedwait(&engine->changed, &engine->lock, &end) == 0)
        continue;
    unlock(engine);
    return good;
}

static struct fake_partition *partition_of(struct engine *engine, const char *topic, int32_t number)
{
    struct fake_partition *partition;

    for (size_t i = 0; i < engine->partitions_len; i++) {
        if (engine->partitions[i].number == number && strcmp(engine->partitions[i].topic, topic) == 0)
            return &engine->partitions[i];
    }
    if (engine->partitions_len == FAKE_PARTITIONS_MAX)
        abort();
    partition = &engine->partitions[engine->partitions_len++];
    *partition = (struct fake_partition){.number = number, .known = -1, .next = -1, .end = -1, .last = -1};
    snprintf(partition->topic, sizeof(partition->topic), "%s", topic);
    return partition;
}

void fake_engine_know(struct engine *engine, const char *topic, int32_t number, int64_t next)
{
    struct fake_partition *partition;

    lock(engine);
    partition = partition_of(engine, topic, number);
    partition->known = partition->next = next;
    unlock(engine);
}

void fake_engine_restart(struct engine *engine)
{
    for (size_t i = 0; i < engine->partitions_len; i++) {
        struct fake_partition *partition = &engine->partitions[i];

        partition->known = partition->next;
        partition->state = PARTITION_WAITING;
        partition->end = -1;
    }
}

void fake_engine_hold(struct engine *engine, bool held)
{
    lock(engine);
    engine->held = held;
    unlock(engine);
}

void fake_engine_hold_letters(struct engine *engine, bool held)
{
    lock(engine);
    engine->letters_held = held;
    unlock(engine);
}

const struct fake_partition *fake_engine_partition(const struct engine *engine, int32_t number)
{
    return fake_engine_partition_of(engine, NULL, number);
}

const struct fake_partition *fake_engine_partition_of(const struct engine *engine, const char *topic, int32_t number)
{
    for (size_t i = 0; i < engine->partitions_len; i++) {
        if (engine->partitions[i].number == number && (!topic || strcmp(engine->partitions[i].topic, topic) == 0))
            return &engine->partitions[i];
    }
    return NULL;
}

/* ---- engine.h -------------------------------------------------------------------------------------------------- */

int engine_partition(struct engine *engine, const char *topic, int32_t number, uint32_t *ret_index, int64_t *ret_next,
                     struct fr_err *err)
{
    struct fake_partition *partition;

    (void)err;
    lock(engine);
    partition = partition_of(engine, topic, number);
    *ret_index = (uint32_t)(partition - engine->partitions);
    *ret_next = partition->known;
    unlock(engine);
    return FR_OK;
}

void engine_partition_low(struct engine *engine, uint32_t index, int64_t low)
{
    lock(engine);
    engine->partitions[index].low = low;
    unlock(engine);
}

void engine_partition_says(struct engine *engine, uint32_t index, enum partition_state state, int64_t end,
                           when_ms oldest)
{
    (void)oldest;
    lock(engine);
    engine->partitions[index].state = state;
    engine->partitions[index].end = end;
    unlock(engine);
}

void engine_partition_heard(struct engine *engine, uint32_t index, when_ms wall)
{
    (void)wall;
    lock(engine);
    engine->partitions[index].heard++;
    unlock(engine);
}

void engine_topic_awaited(struct engine *engine, const char *topic)
{
    (void)topic;
    lock(engine);
    engine->topics_awaited++;
    unlock(engine);
}

void engine_topic_told(struct engine *engine, const char *topic, size_t count)
{
    (void)topic, (void)count;
    lock(engine);
    engine->topics_told++;
    unlock(engine);
}

bool engine_held(const struct engine *engine)
{
    struct engine *held = (struct engine *)engine;

    lock(held);
    bool answer = held->held;
    unlock(held);
    return answer;
}

const char *partition_state_name(enum partition_state state)
{
    return state == PARTITION_RUNNING ? "running" : state == PARTITION_WAITING ? "waiting" : "halted";
}

bool engine_partition_print(struct engine *engine, uint32_t index, int64_t *ret_offset, uint64_t *ret_print)
{
    *ret_offset = engine->partitions[index].last;
    *ret_print = engine->partitions[index].print;
    return *ret_offset >= 0;
}

uint32_t engine_partitions_known(struct engine *engine, const char *topic)
{
    uint32_t known = 0;

    lock(engine);
    for (size_t i = 0; i < engine->partitions_len; i++)
        if (!strcmp(engine->partitions[i].topic, topic) && (uint32_t)engine->partitions[i].number >= known)
            known = (uint32_t)engine->partitions[i].number + 1;
    unlock(engine);
    return known;
}

const char *engine_cluster(struct engine *engine, char room[CLUSTER_BYTES_MAX + 1])
{
    lock(engine);
    snprintf(room, CLUSTER_BYTES_MAX + 1, "%s", engine->cluster);
    unlock(engine);
    return room;
}

void engine_cluster_set(struct engine *engine, const char *id)
{
    lock(engine);
    snprintf(engine->cluster, sizeof(engine->cluster), "%s", id);
    unlock(engine);
}

struct event_batch *engine_batch_take(struct engine *engine, int timeout_ms)
{
    struct timespec end = later(timeout_ms);
    struct event_batch *batch = NULL;

    lock(engine);
    engine->takes++;
    while ((engine->held || !engine->batches_len) && pthread_cond_timedwait(&engine->changed, &engine->lock, &end) == 0)
        continue;
    if (!engine->held && engine->batches_len)
        batch = engine->batches[--engine->batches_len];
    unlock(engine);
    return batch;
}

bool engine_batch_wants_record(struct engine *engine, struct event_batch *batch, enum event_kind kind)
{
    (void)engine;
    (void)kind;
    return batch->whole;
}

static struct fr_bytes copy_of(struct fr_bytes bytes)
{
    char *copy = fr_alloc(bytes.len + 1);

    if (bytes.len)
        memcpy(copy, bytes.at, bytes.len);
    return (struct fr_bytes){copy, bytes.len};
}

static void post(struct engine *engine, const struct fake_partition *partition, const struct event *event)
{
    struct fake_letter *letter = fr_zalloc(1, sizeof(*letter));

    letter->letter = (struct dead_letter){.id = engine->letters_len,
                                          .topic = fr_bytes_of(partition->topic),
                                          .partition = partition->number,
                                          .offset = event->offset,
                                          .logged = event->reject->logged,
                                          .has_key = event->reject->has_key,
                                          .has_value = event->reject->has_value,
                                          .key = copy_of(event->reject->key),
                                          .value = copy_of(event->reject->value),
                                          .reason = copy_of(fr_bytes_of(event->reject->reason)),
                                          .message = copy_of(event->reject->message)};
    fr_reserve((void **)&engine->letters, &engine->letters_cap, engine->letters_len + 1, sizeof(struct fake_letter *));
    engine->letters[engine->letters_len++] = letter;
}

static void note(struct engine *engine, const struct fake_partition *partition, const struct event *event)
{
    struct fake_event *noted;

    fr_reserve((void **)&engine->events, &engine->events_cap, engine->events_len + 1, sizeof(*engine->events));
    noted = &engine->events[engine->events_len++];
    *noted = (struct fake_event){.kind = event->kind,
                                 .number = partition->number,
                                 .offset = event->offset,
                                 .logged = event->logged,
                                 .when = event->when,
                                 .weight = event->weight,
                                 .context = event->context_len ? event->context[0] : 0};
    if (event->kind != EVENT_REJECT) {
        if (event->user.len)
            memcpy(noted->user, event->user.at, event->user.len);
        if (event->item.len)
            memcpy(noted->item, event->item.at, event->item.len);
        noted->said_len = event->said.len;
    } else if (event->kind == EVENT_REJECT) {
        snprintf(noted->reason, sizeof(noted->reason), "%s", event->reject->reason);
        memcpy(noted->message, event->reject->message.at, event->reject->message.len);
    }
}

static void apply(struct engine *engine, const struct event *event)
{
    struct fake_partition *partition = &engine->partitions[event->partition];

    if (event->partition >= engine->partitions_len || (event->offset < partition->next && event->kind != EVENT_OTHER_LOG))
        abort(); /* given twice, or out of order */
    if (event->kind == EVENT_OTHER_LOG)
        partition->last = -1;
    if (event->kind == EVENT_HOLE) {
        partition->holes++;
        partition->skipped += event->offset - partition->next;
    }
    if (event->kind == EVENT_POSITION || event->kind == EVENT_HOLE || event->kind == EVENT_OTHER_LOG) {
        partition->next = event->offset;
    } else {
        partition->next = event->offset + 1;
        partition->last = event->offset;
        partition->print = event->print;
    }
    engine->applied += event->kind == EVENT_APPLY;
    engine->rejected += event->kind == EVENT_REJECT;
    partition->applied += event->kind == EVENT_APPLY;
    partition->rejected += event->kind == EVENT_REJECT;
    if (event->kind == EVENT_REJECT)
        post(engine, partition, event);
    if (!engine->forget_events)
        note(engine, partition, event);
}

void engine_batch_give(struct engine *engine, struct event_batch *batch)
{
    lock(engine);
    for (uint32_t i = 0; i < batch->len; i++)
        apply(engine, &batch->events[i]);
    if (batch->arena.total > engine->arena_max)
        engine->arena_max = batch->arena.total;
    batch->len = 0;
    fr_arena_reset(&batch->arena);
    engine->batches[engine->batches_len++] = batch;
    unlock(engine);
}

static struct fake_letter *first_ready(struct engine *engine)
{
    for (size_t i = 0; i < engine->letters_len && !engine->letters_held; i++) {
        if (!engine->letters[i]->taken)
            return engine->letters[i];
    }
    return NULL;
}

const struct dead_letter *engine_outbox_take(struct engine *engine, int timeout_ms)
{
    struct timespec end = later(timeout_ms);
    struct fake_letter *letter;

    lock(engine);
    while (!(letter = first_ready(engine)) && pthread_cond_timedwait(&engine->changed, &engine->lock, &end) == 0)
        continue;
    if (letter) {
        letter->taken = true;
        letter->times++;
    }
    unlock(engine);
    return letter ? &letter->letter : NULL;
}

void engine_outbox_done(struct engine *engine, uint64_t id)
{
    lock(engine);
    if (!engine->letters[id]->taken || engine->letters[id]->done)
        abort();
    engine->letters[id]->done = true;
    engine->letters_done++;
    unlock(engine);
}

void engine_outbox_again(struct engine *engine, uint64_t id)
{
    lock(engine);
    if (!engine->letters[id]->taken || engine->letters[id]->done)
        abort();
    engine->letters[id]->taken = false;
    unlock(engine);
}
