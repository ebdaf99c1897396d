/*
 * dedup.c -- a queue of buckets per partition, each an open-addressing set of 16-byte entries.
 *
 *     entry    [ hash_high u64 ][ low 20 bits of hash_low << 44 | the record's Kafka time in 44 bits ]
 *     queue    oldest [ bucket 7 ][ bucket 8 ][ bucket 9 ] newest      numbers rise by one, kept mod 2^20
 *
 * Rules, all of which follow from the log alone:
 *
 *  1. A record is a repeat if an entry with the same 84 bits of hash is held whose time is at most `window` away,
 *     before or after. So late records are treated like any other; nothing depends on the order of times.
 *  2. What is no repeat is put into the newest bucket. It is full when it holds 1/16 of ids_max, or when the record is
 *     window/16 or more after the bucket's first; then a new bucket opens.
 *  3. When a bucket opens, at most two of the oldest leave if all they hold is out of the window as seen from the
 *     record. While Kafka time does not go back, entries leave only after they can no longer match. One record from a
 *     far future costs two buckets, not all.
 *  4. The oldest bucket leaves, counted, when more than ids_max ids or more than BUCKETS_MAX buckets are held. With
 *     time that does not go back there are never that many: 16 full ones, 17 that are window/16 apart, the oldest and
 *     the newest.
 *  5. A record without a time (< 0) has the time of the newest entry.
 *
 * The state is a function of the cells: row = partition << 20 | bucket's number, column = place in the order of
 * arrival, cell = the entry, little endian. A bucket's first time is that of its first cell.
 *
 * Twenty bits of number are enough to order what is held, for a queue has at most BUCKETS_MAX: a is older than b if
 * b - a, mod 2^20, is less than 2^19.
 */
#include "dedup.h"

#include <assert.h>
#include <endian.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/defect.h"
#include "freshet/event.h"

enum {
    NUMBER_BITS = 20,
    NUMBERS = 1 << NUMBER_BITS,
    PARTITIONS = 1 << (32 - NUMBER_BITS),
    TIME_BITS = 44,
    PARTS = 16,
    BUCKETS_MAX = 40,
    TABLE_FIRST = 8,
    CELL_BYTES = 16,
};

struct entry {
    uint64_t high, low_time; /* both 0: empty */
};

struct bucket {
    uint32_t number, len, cap;
    when_ms first, newest;
    struct entry *entries;
};

struct queue {
    struct bucket buckets[BUCKETS_MAX + 1]; /* oldest first */
    uint32_t len;
    uint64_t ids;
    when_ms latest; /* of the entry that came last */
};

struct dedup {
    span_ms window, width;
    uint32_t ids_max, bucket_max;
    uint64_t ids, overflowed;
    _Atomic size_t bytes; /* any thread reads */
    struct queue *queues[PARTITIONS];
};

static when_ms entry_time(const struct entry *entry)
{
    return (when_ms)(entry->low_time & (((uint64_t)1 << TIME_BITS) - 1));
}

/* Empty has a meaning of its own, so the one hash that looks like it at time 0 becomes its neighbour. */
static struct entry entry_of(uint64_t hash_high, uint32_t hash_low, when_ms when)
{
    struct entry entry = {hash_high, (uint64_t)hash_low << TIME_BITS | (uint64_t)when};

    if (!entry.high && !(entry.low_time >> TIME_BITS))
        entry.low_time |= (uint64_t)1 << TIME_BITS;
    return entry;
}

static bool entry_empty(const struct entry *entry)
{
    return !entry->high && !entry->low_time;
}

struct dedup *dedup_new(span_ms window, uint32_t ids_max)
{
    struct dedup *dedup = fr_zalloc(1, sizeof *dedup);

    assert(window > 0 && ids_max > 0);
    dedup->window = window;
    dedup->width = (window - 1) / PARTS + 1;
    dedup->ids_max = ids_max;
    dedup->bucket_max = (ids_max - 1) / PARTS + 1;
    atomic_init(&dedup->bytes, sizeof *dedup);
    return dedup;
}

void dedup_free(struct dedup *dedup)
{
    if (!dedup)
        return;
    for (size_t i = 0; i < PARTITIONS; i++) {
        struct queue *queue = dedup->queues[i];

        for (uint32_t b = 0; queue && b < queue->len; b++)
            free(queue->buckets[b].entries);
        free(queue);
    }
    free(dedup);
}

/* ---- one bucket ---- */

static uint32_t bucket_first(const struct bucket *bucket, uint64_t high)
{
    return (uint32_t)((high >> 32) * bucket->cap >> 32);
}

static void bucket_put(struct bucket *bucket, struct entry entry)
{
    uint32_t at = bucket_first(bucket, entry.high);

    while (!entry_empty(&bucket->entries[at]))
        at = at + 1 == bucket->cap ? 0 : at + 1;
    bucket->entries[at] = entry;
}

static void bucket_grow(struct dedup *dedup, struct bucket *bucket)
{
    struct bucket old = *bucket;

    if ((bucket->len + 1ULL) * 4 <= bucket->cap * 3ULL)
        return;
    bucket->cap = old.cap ? old.cap + old.cap / 3 : TABLE_FIRST;
    bucket->entries = fr_zalloc(bucket->cap, sizeof *bucket->entries);
    for (uint32_t i = 0; i < old.cap; i++)
        if (!entry_empty(&old.entries[i]))
            bucket_put(bucket, old.entries[i]);
    atomic_fetch_add_explicit(&dedup->bytes, (bucket->cap - old.cap) * sizeof *bucket->entries, memory_order_relaxed);
    free(old.entries);
}

static bool bucket_has(const struct bucket *bucket, const struct entry *wanted, span_ms window)
{
    when_ms when = entry_time(wanted);

    /* The same hash may stand here more than once, with times too far apart to be repeats. */
    for (uint32_t at = bucket_first(bucket, wanted->high);; at = at + 1 == bucket->cap ? 0 : at + 1) {
        const struct entry *entry = &bucket->entries[at];

        if (entry_empty(entry))
            return false;
        if (entry->high == wanted->high && entry->low_time >> TIME_BITS == wanted->low_time >> TIME_BITS &&
            llabs(entry_time(entry) - when) <= window)
            return true;
    }
}

/* ---- one partition's queue ---- */

static struct queue *dedup_queue(struct dedup *dedup, uint32_t partition)
{
    assert(partition < PARTITIONS);
    if (!dedup->queues[partition]) {
        dedup->queues[partition] = fr_zalloc(1, sizeof(struct queue));
        atomic_fetch_add_explicit(&dedup->bytes, sizeof(struct queue), memory_order_relaxed);
    }
    return dedup->queues[partition];
}

static uint32_t row_of(uint32_t partition, const struct bucket *bucket)
{
    return partition << NUMBER_BITS | bucket->number;
}

static bool queue_has(const struct queue *queue, const struct entry *entry, span_ms window)
{
    /* Ask memory for all of them first, so that the misses overlap. */
    for (uint32_t i = 0; i < queue->len; i++)
        __builtin_prefetch(&queue->buckets[i].entries[bucket_first(&queue->buckets[i], entry->high)]);
    for (uint32_t i = queue->len; i-- > 0;)
        if (bucket_has(&queue->buckets[i], entry, window))
            return true;
    return false;
}

static void queue_leave(struct dedup *dedup, struct queue *queue, uint32_t partition, struct journal *journal)
{
    struct bucket *oldest = &queue->buckets[0];

    journal_clear(journal, TABLE_DEDUP, row_of(partition, oldest));
    queue->ids -= oldest->len;
    dedup->ids -= oldest->len;
    atomic_fetch_sub_explicit(&dedup->bytes, oldest->cap * sizeof *oldest->entries, memory_order_relaxed);
    free(oldest->entries);
    memmove(queue->buckets, queue->buckets + 1, --queue->len * sizeof *oldest);
}

static void queue_overflow(struct dedup *dedup, struct queue *queue, uint32_t partition, struct journal *journal)
{
    dedup->overflowed += queue->buckets[0].len;
    queue_leave(dedup, queue, partition, journal);
}

/* Appends an entry to a bucket; the newest one, unless it is loaded. */
static void queue_put(struct dedup *dedup, struct queue *queue, struct bucket *bucket, struct entry entry)
{
    when_ms when = entry_time(&entry);

    bucket_grow(dedup, bucket);
    bucket_put(bucket, entry);
    if (bucket->len == 0)
        bucket->first = bucket->newest = when;
    if (when > bucket->newest)
        bucket->newest = when;
    if (bucket == &queue->buckets[queue->len - 1])
        queue->latest = when;
    bucket->len++;
    queue->ids++;
    dedup->ids++;
}

static struct bucket *queue_open(struct dedup *dedup, struct queue *queue, uint32_t partition, when_ms when,
                                 struct journal *journal)
{
    uint32_t number = queue->len ? (queue->buckets[queue->len - 1].number + 1) % NUMBERS : 0;

    for (int i = 0; i < 2 && queue->len && when - queue->buckets[0].newest > dedup->window; i++)
        queue_leave(dedup, queue, partition, journal);
    if (queue->len == BUCKETS_MAX)
        queue_overflow(dedup, queue, partition, journal);
    queue->buckets[queue->len] = (struct bucket){.number = number};
    return &queue->buckets[queue->len++];
}

bool dedup_seen(struct dedup *dedup, uint32_t partition, uint64_t hash_high, uint32_t hash_low, when_ms logged,
                struct journal *journal)
{
    struct queue *queue = dedup_queue(dedup, partition);
    struct bucket *newest = queue->len ? &queue->buckets[queue->len - 1] : NULL;
    when_ms when = logged < 0 ? queue->latest : logged;
    struct entry entry = entry_of(hash_high, hash_low, when);
    uint64_t cell[2] = {htole64(entry.high), htole64(entry.low_time)};

    assert(when <= EVENT_WHEN_MAX);
    if (queue_has(queue, &entry, dedup->window))
        return true;
    if (!newest || newest->len >= dedup->bucket_max || when - newest->first >= dedup->width)
        newest = queue_open(dedup, queue, partition, when, journal);
    if (!fr_defect(DEFECT_DEDUP_IN_MEMORY))
        journal_put(journal, TABLE_DEDUP, row_of(partition, newest), newest->len, cell, sizeof cell);
    queue_put(dedup, queue, newest, entry);
    while (queue->ids > dedup->ids_max && queue->len > 1)
        queue_overflow(dedup, queue, partition, journal);
    return false;
}

/* ---- loading ---- */

/* Makes a place for bucket `number` in the queue's order. NULL if it is there already or there are too many. */
static struct bucket *queue_insert(struct queue *queue, uint32_t number)
{
    uint32_t at = queue->len;

    if (queue->len == BUCKETS_MAX)
        return NULL;
    while (at > 0 && (queue->buckets[at - 1].number - number) % NUMBERS < NUMBERS / 2) {
        if (queue->buckets[at - 1].number == number)
            return NULL;
        at--;
    }
    memmove(queue->buckets + at + 1, queue->buckets + at, (queue->len - at) * sizeof *queue->buckets);
    queue->len++;
    queue->buckets[at] = (struct bucket){.number = number};
    return &queue->buckets[at];
}

bool dedup_load(struct dedup *dedup, uint32_t row, const struct fr_bytes *cells, size_t len)
{
    struct queue *queue = dedup_queue(dedup, row >> NUMBER_BITS);
    struct bucket *bucket;

    for (size_t i = 0; i < len; i++) {
        uint64_t cell[2];

        if (cells[i].len != CELL_BYTES)
            return false;
        memcpy(cell, cells[i].at, CELL_BYTES);
        if (!cell[0] && !(le64toh(cell[1]) >> TIME_BITS))
            return false; /* entry_of makes no such entry */
    }
    bucket = len ? queue_insert(queue, row % NUMBERS) : NULL;
    for (size_t i = 0; bucket && i < len; i++) {
        uint64_t cell[2];

        memcpy(cell, cells[i].at, CELL_BYTES);
        queue_put(dedup, queue, bucket, (struct entry){le64toh(cell[0]), le64toh(cell[1])});
    }
    return bucket != NULL;
}

uint64_t dedup_ids(const struct dedup *dedup)
{
    return dedup->ids;
}

uint64_t dedup_overflowed(const struct dedup *dedup)
{
    return dedup->overflowed;
}

size_t dedup_bytes(const struct dedup *dedup)
{
    return atomic_load_explicit(&dedup->bytes, memory_order_relaxed);
}
