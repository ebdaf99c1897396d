/*
 * staleness.c -- how stale the answers are: the age of the oldest record that Kafka holds and that is not applied.
 *
 *     where the log ends      is there such a record?    staleness
 *     ------------------------------------------------------------------------------------------------------------
 *     never told, since the   nobody knows               at most the age of the newest record applied; with none,
 *     start                                              as long as the daemon runs: unsure, untold
 *     told: behind            yes                        its own age, or at most that of the newest applied, or the
 *                                                        time since nothing was left; with neither it may be of any
 *     told of late: caught up no                         0
 *     told long ago: caught   nobody knows               the time since it was told: unsure
 *     up with that
 *
 * Told of late: within ENGINE_HEARD_MS, twice as long as feed lets pass before it asks again. Times of records are Kafka's, and a record
 * that comes later is taken to be no older. Of a topic whose partitions Kafka has not told nobody knows anything, unless the store has some of
 * it; that there is no such topic is an answer too. A log that nobody reads any more does not count, nor a partition that the topic, made anew, has
 * no more.
 *
 * Thread: any; what feed tells, feed.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine_private.h"

/* ---- what feed tells ------------------------------------------------------------------------------------------- */

static bool of_late(when_ms heard, when_ms wall)
{
    return heard > 0 && wall - heard <= ENGINE_HEARD_MS;
}

void engine_partition_says(struct engine *engine, uint32_t index, enum partition_state state, int64_t end, when_ms oldest)
{
    struct partition *partition = partition_at(engine, index);
    when_ms wall = fr_wall_ms(), heard;

    if (end >= 0 && end != atomic_load_explicit(&partition->end, memory_order_relaxed))
        atomic_store_explicit(&partition->heard, wall, memory_order_relaxed); /* before it: the end of now is not as old as the last one */
    atomic_store_explicit(&partition->state, (int)state, memory_order_relaxed);
    atomic_store_explicit(&partition->oldest, oldest, memory_order_relaxed);
    atomic_store_explicit(&partition->end, end, memory_order_relaxed);
    if (end < 0 || partition_left(partition, atomic_load_explicit(&partition->next, memory_order_acquire), end))
        return;
    heard = atomic_load_explicit(&partition->heard, memory_order_relaxed);
    atomic_store_explicit(&partition->caught_up, of_late(heard, wall) ? wall : heard, memory_order_relaxed);
}

void engine_partition_heard(struct engine *engine, uint32_t index, when_ms wall)
{
    atomic_store_explicit(&partition_at(engine, index)->heard, wall, memory_order_relaxed);
}

static uint32_t find_topic(const struct engine *engine, const char *topic)
{
    uint32_t at = 0, len = atomic_load_explicit(&engine->awaited_len, memory_order_acquire);

    while (at < len && strcmp(engine->awaited[at].topic, topic) != 0)
        at++;
    return at;
}

void engine_topic_awaited(struct engine *engine, const char *topic)
{
    pthread_mutex_lock(&engine->lock);
    uint32_t at = find_topic(engine, topic), len = atomic_load(&engine->partitions_len);
    if (at < AWAITED_MAX) {
        if (at == atomic_load(&engine->awaited_len)) /* a name that is there may be read */
            snprintf(engine->awaited[at].topic, sizeof(engine->awaited[at].topic), "%s", topic);
        atomic_store(&engine->awaited[at].told, false);
        if (at == atomic_load(&engine->awaited_len))
            atomic_store_explicit(&engine->awaited_len, at + 1, memory_order_release);
    }
    for (uint32_t i = 0; i < len; i++)
        if (strcmp(engine->partitions[i]->topic, topic) == 0)
            atomic_store_explicit(&engine->partitions[i]->awaited, true, memory_order_relaxed);
    pthread_mutex_unlock(&engine->lock);
}

void engine_topic_told(struct engine *engine, const char *topic, size_t count)
{
    uint32_t at = find_topic(engine, topic), len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);

    for (uint32_t i = 0; count && i < len; i++)
        if (strcmp(engine->partitions[i]->topic, topic) == 0)
            atomic_store_explicit(&engine->partitions[i]->gone, (size_t)engine->partitions[i]->number >= count, memory_order_relaxed);
    if (at < atomic_load_explicit(&engine->awaited_len, memory_order_acquire))
        atomic_store_explicit(&engine->awaited[at].told, true, memory_order_release); /* its partitions were made before */
}

/* ---- what follows ---------------------------------------------------------------------------------------------- */

int64_t partition_left(const struct partition *partition, int64_t next, int64_t end)
{
    if (next < 0) { /* its beginning, wherever that is */
        next = atomic_load_explicit(&partition->low, memory_order_relaxed);
        next = next < 0 ? 0 : next;
    }
    return end > next ? end - next : 0;
}

static double age(when_ms since, when_ms wall)
{
    return wall > since ? (double)(wall - since) / 1000 : 0;
}

static struct staleness behind(const struct partition *partition, when_ms wall)
{
    int64_t since = atomic_load_explicit(&partition->oldest, memory_order_relaxed);

    if (since < 0) {
        int64_t last = atomic_load_explicit(&partition->last_logged, memory_order_relaxed);
        int64_t caught_up = atomic_load_explicit(&partition->caught_up, memory_order_relaxed);
        since = last > caught_up ? last : caught_up;
    }
    return (struct staleness){.seconds = since <= 0 ? INFINITY : age(since, wall)};
}

struct staleness partition_staleness(const struct engine *engine, const struct partition *partition, when_ms wall)
{
    int64_t next = atomic_load_explicit(&partition->next, memory_order_acquire);
    int64_t end = atomic_load_explicit(&partition->end, memory_order_relaxed);

    if (atomic_load_explicit(&partition->gone, memory_order_relaxed))
        return (struct staleness){0};
    if (end < 0) {
        int64_t last = atomic_load_explicit(&partition->last_logged, memory_order_relaxed);
        if (!atomic_load_explicit(&partition->awaited, memory_order_relaxed))
            return (struct staleness){0};
        return (struct staleness){age(last > 0 ? last : engine->opened, wall), true, partition->topic};
    }
    if (partition_left(partition, next, end))
        return behind(partition, wall);
    when_ms heard = atomic_load_explicit(&partition->heard, memory_order_relaxed);
    return of_late(heard, wall) ? (struct staleness){0} : (struct staleness){.seconds = age(heard, wall), .unsure = true};
}

/* What has been given and not yet applied. */
static double oldest_given(const struct engine *engine, when_ms wall)
{
    uint64_t done = atomic_load_explicit(&engine->batches_done, memory_order_acquire);
    uint64_t given = atomic_load_explicit(&engine->batches_given, memory_order_acquire);
    double oldest = 0;

    for (; done < given; done++) {
        int64_t since = atomic_load_explicit(&engine->batch_oldest[done % (BATCHES * 2)], memory_order_relaxed);
        if (since >= 0)
            oldest = fmax(oldest, age(since, wall));
    }
    return oldest;
}

/* Topics before partitions: of one that is told by now those are there. */
struct staleness engine_staleness(const struct engine *engine, when_ms wall)
{
    uint32_t topics = atomic_load_explicit(&engine->awaited_len, memory_order_acquire);
    struct staleness all = {0};

    for (uint32_t i = 0; i < topics && !all.untold; i++)
        if (!atomic_load_explicit(&engine->awaited[i].told, memory_order_acquire))
            all = (struct staleness){age(engine->opened, wall), true, engine->awaited[i].topic};
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);
    for (uint32_t i = 0; i < len; i++) {
        struct staleness one = partition_staleness(engine, engine->partitions[i], wall);
        all.seconds = fmax(all.seconds, one.seconds);
        all.unsure = all.unsure || one.unsure;
        all.untold = all.untold ? all.untold : one.untold;
    }
    all.seconds = fmax(all.seconds, oldest_given(engine, wall));
    return all;
}
