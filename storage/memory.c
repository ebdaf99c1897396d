/*
 * memory.c -- a store that lives as long as the process: sorted arrays of shared entries, never changed in place.
 *
 *     image ---> [ a | c | d | f ]           a write merges the sorted batch with the newest image into the next;
 *     image' --> [ a | c'| d | e | f ]       iterators, and what was synced last, keep the image they have
 *
 * For tests: it fails on demand, and shows what a power cut would leave.
 * Thread: any (one lock), so that a test may look at it while the checkpoint writes.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/store.h"

struct entry {
    unsigned refs; /* under the lock; a clone has entries of its own */
    bool deletes;  /* in batches only */
    size_t key_len, value_len;
    char bytes[];
};

struct image {
    unsigned refs;
    size_t len, bytes;
    struct entry *entries[];
};

struct memory {
    struct store store;
    pthread_mutex_t lock;
    struct image *now, *synced;
    uint64_t marked;
    struct note {
        struct note *after;
        struct fr_bytes record;
    } *notes, **notes_tail;
    struct store_faults *faults;
};

struct store_batch {
    struct entry **entries;
    size_t len, cap, bytes;
};

struct store_iter {
    struct memory *memory;
    struct image *image;
    size_t at, end;
};

static struct fr_bytes key_of(const struct entry *entry)
{
    return (struct fr_bytes){entry->bytes, entry->key_len};
}

static struct fr_bytes value_of(const struct entry *entry)
{
    return (struct fr_bytes){entry->bytes + entry->key_len, entry->value_len};
}

static struct entry *entry_new(struct fr_bytes key, struct fr_bytes value, bool deletes)
{
    struct entry *entry = fr_alloc(sizeof(*entry) + key.len + value.len);

    *entry = (struct entry){.refs = 1, .deletes = deletes, .key_len = key.len, .value_len = value.len};
    if (key.len)
        memcpy(entry->bytes, key.at, key.len);
    if (value.len)
        memcpy(entry->bytes + key.len, value.at, value.len);
    return entry;
}

static void entry_drop(struct entry *entry)
{
    if (--entry->refs == 0)
        free(entry);
}

static struct image *image_new(size_t cap)
{
    struct image *image = fr_alloc(sizeof(*image) + cap * sizeof(struct entry *));

    *image = (struct image){.refs = 1};
    return image;
}

static void image_drop(struct image *image)
{
    if (--image->refs)
        return;
    for (size_t i = 0; i < image->len; i++)
        entry_drop(image->entries[i]);
    free(image);
}

static void image_append(struct image *image, struct entry *entry)
{
    entry->refs++;
    image->entries[image->len++] = entry;
    image->bytes += entry->key_len + entry->value_len;
}

/* The first entry whose key is not below. */
static size_t image_seek(const struct image *image, struct fr_bytes key)
{
    size_t low = 0, high = image->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fr_bytes_order(key_of(image->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- batches ---- */

static struct store_batch *batch_new(struct store *store)
{
    (void)store;
    return fr_zalloc(1, sizeof(struct store_batch));
}

static void batch_clear(struct store_batch *batch)
{
    for (size_t i = 0; i < batch->len; i++)
        free(batch->entries[i]);
    batch->len = 0;
    batch->bytes = 0;
}

static void batch_free(struct store_batch *batch)
{
    batch_clear(batch);
    free(batch->entries);
    free(batch);
}

static void batch_append(struct store_batch *batch, struct entry *entry)
{
    if (batch->len == batch->cap) {
        batch->cap = batch->cap * 2 + 16;
        batch->entries = fr_realloc(batch->entries, batch->cap * sizeof(*batch->entries));
    }
    batch->entries[batch->len++] = entry;
    batch->bytes += entry->key_len + entry->value_len;
}

static void batch_put(struct store_batch *batch, struct fr_bytes key, struct fr_bytes value)
{
    batch_append(batch, entry_new(key, value, false));
}

static void batch_delete(struct store_batch *batch, struct fr_bytes key)
{
    batch_append(batch, entry_new(key, (struct fr_bytes){NULL, 0}, true));
}

static size_t batch_bytes(const struct store_batch *batch)
{
    return batch->bytes;
}

static size_t batch_keys(const struct store_batch *batch)
{
    return batch->len;
}

/* ---- the store ---- */

static bool faulty(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

struct ranked {
    struct entry *entry;
    size_t rank;
};

static int by_key_then_rank(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    int order = fr_bytes_order(key_of(left->entry), key_of(right->entry));

    return order ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

static struct image *merged(const struct image *old, const struct store_batch *batch)
{
    struct ranked *sorted = fr_alloc((batch->len + 1) * sizeof(*sorted));
    struct image *image = image_new(old->len + batch->len);
    size_t at = 0;

    for (size_t i = 0; i < batch->len; i++)
        sorted[i] = (struct ranked){batch->entries[i], i};
    qsort(sorted, batch->len, sizeof(*sorted), by_key_then_rank);
    for (size_t i = 0; i < batch->len; i++) {
        struct entry *entry = sorted[i].entry;
        if (i + 1 < batch->len && fr_bytes_equal(key_of(entry), key_of(sorted[i + 1].entry)))
            continue; /* the last operation on a key counts */
        while (at < old->len && fr_bytes_order(key_of(old->entries[at]), key_of(entry)) < 0)
            image_append(image, old->entries[at++]);
        if (at < old->len && fr_bytes_equal(key_of(old->entries[at]), key_of(entry)))
            at++;
        if (!entry->deletes) {
            struct entry *kept = entry_new(key_of(entry), value_of(entry), false);
            image_append(image, kept);
            kept->refs--; /* the image's alone */
        }
    }
    while (at < old->len)
        image_append(image, old->entries[at++]);
    free(sorted);
    return image;
}

static int memory_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;
    int status = FR_OK;

    pthread_mutex_lock(&memory->lock);
    if (memory->faults && faulty(&memory->faults->fail_write_at)) {
        status = fr_fail(err, memory->faults->code, "cannot write: a fault was asked for");
    }
    if (!status || memory->faults->arrives) {
        struct image *image = merged(memory->now, batch);
        image_drop(memory->now);
        memory->now = image;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static int memory_sync(struct store *store, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;
    int status = FR_OK;

    pthread_mutex_lock(&memory->lock);
    if (memory->faults && faulty(&memory->faults->fail_sync_at)) {
        status = fr_fail(err, memory->faults->code, "cannot sync: a fault was asked for");
    } else {
        memory->now->refs++;
        image_drop(memory->synced);
        memory->synced = memory->now;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static int memory_reopen(struct store *store, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;
    int status = FR_OK;

    pthread_mutex_lock(&memory->lock);
    if (memory->faults && faulty(&memory->faults->fail_reopen_at)) {
        status = fr_fail(err, memory->faults->code, "cannot open anew: a fault was asked for");
    } else {
        struct image **kept = memory->faults && memory->faults->forgets ? &memory->synced : &memory->now;
        struct image **other = kept == &memory->now ? &memory->synced : &memory->now;
        (*kept)->refs++;
        image_drop(*other);
        *other = *kept;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static int memory_mark(struct store *store, uint64_t number, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;

    (void)err;
    pthread_mutex_lock(&memory->lock);
    memory->marked = number;
    pthread_mutex_unlock(&memory->lock);
    return FR_OK;
}

static uint64_t memory_marked(struct store *store)
{
    struct memory *memory = (struct memory *)store;

    pthread_mutex_lock(&memory->lock);
    uint64_t number = memory->marked;
    pthread_mutex_unlock(&memory->lock);
    return number;
}

static int memory_note(struct store *store, const struct fr_bytes *records, size_t len, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;

    (void)err;
    pthread_mutex_lock(&memory->lock);
    for (size_t i = 0; i < len; i++) {
        struct note *note = fr_zalloc(1, sizeof(*note) + records[i].len);
        memcpy(note + 1, records[i].at, records[i].len);
        note->record = (struct fr_bytes){(const char *)(note + 1), records[i].len};
        *memory->notes_tail = note;
        memory->notes_tail = &note->after;
    }
    pthread_mutex_unlock(&memory->lock);
    return FR_OK;
}

static int memory_notes(struct store *store, store_note *each, void *context, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;
    int status = FR_OK;

    pthread_mutex_lock(&memory->lock);
    for (const struct note *note = memory->notes; note && !status; note = note->after)
        if (!each(context, note->record))
            status = fr_fail(err, FR_CORRUPT, "a note beside the store cannot be ours");
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static int memory_get(struct store *store, struct fr_bytes key, char **ret_value, size_t *ret_len, struct fr_err *err)
{
    struct memory *memory = (struct memory *)store;
    int status = FR_NOT_FOUND;

    pthread_mutex_lock(&memory->lock);
    size_t at = image_seek(memory->now, key);
    if (at < memory->now->len && fr_bytes_equal(key_of(memory->now->entries[at]), key)) {
        struct fr_bytes value = value_of(memory->now->entries[at]);
        *ret_value = fr_alloc(value.len + 1);
        memcpy(*ret_value, value.at, value.len);
        *ret_len = value.len;
        status = FR_OK;
    }
    pthread_mutex_unlock(&memory->lock);
    return status ? fr_fail(err, FR_NOT_FOUND, "there is no such key") : FR_OK;
}

static struct store_iter *memory_iterate(struct store *store, struct fr_bytes prefix)
{
    struct memory *memory = (struct memory *)store;
    struct store_iter *iter = fr_zalloc(1, sizeof(*iter));

    pthread_mutex_lock(&memory->lock);
    iter->memory = memory;
    iter->image = memory->now;
    iter->image->refs++;
    iter->at = iter->end = image_seek(iter->image, prefix);
    while (iter->end < iter->image->len) {
        struct fr_bytes key = key_of(iter->image->entries[iter->end]);
        if (key.len < prefix.len || (prefix.len && memcmp(key.at, prefix.at, prefix.len) != 0))
            break;
        iter->end++;
    }
    pthread_mutex_unlock(&memory->lock);
    return iter;
}

static bool memory_next(struct store_iter *iter, struct fr_bytes *ret_key, struct fr_bytes *ret_value)
{
    if (iter->at == iter->end)
        return false;
    const struct entry *entry = iter->image->entries[iter->at++];
    *ret_key = key_of(entry);
    *ret_value = value_of(entry);
    return true;
}

static int memory_iter_close(struct store_iter *iter, struct fr_err *err)
{
    (void)err;
    pthread_mutex_lock(&iter->memory->lock);
    image_drop(iter->image);
    pthread_mutex_unlock(&iter->memory->lock);
    free(iter);
    return FR_OK;
}

static bool memory_number(struct store *store, const char *name, uint64_t *ret_value)
{
    struct memory *memory = (struct memory *)store;

    if (strcmp(name, "memtable_bytes") != 0)
        return false;
    pthread_mutex_lock(&memory->lock);
    *ret_value = memory->now->bytes;
    pthread_mutex_unlock(&memory->lock);
    return true;
}

static void memory_close(struct store *store)
{
    struct memory *memory = (struct memory *)store;

    image_drop(memory->now);
    image_drop(memory->synced);
    while (memory->notes) {
        struct note *note = memory->notes;
        memory->notes = note->after;
        free(note);
    }
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static const struct store_ops memory_ops = {
    .close = memory_close,
    .batch_new = batch_new,
    .batch_free = batch_free,
    .batch_clear = batch_clear,
    .batch_put = batch_put,
    .batch_delete = batch_delete,
    .batch_bytes = batch_bytes,
    .batch_keys = batch_keys,
    .write = memory_write,
    .sync = memory_sync,
    .reopen = memory_reopen,
    .mark = memory_mark,
    .marked = memory_marked,
    .note = memory_note,
    .notes = memory_notes,
    .get = memory_get,
    .iterate = memory_iterate,
    .next = memory_next,
    .iter_close = memory_iter_close,
    .number = memory_number,
};

static struct store *memory_with(struct image *image, struct store_faults *faults)
{
    struct memory *memory = fr_zalloc(1, sizeof(*memory));

    memory->store.ops = &memory_ops;
    memory->faults = faults;
    memory->now = memory->synced = image;
    memory->notes_tail = &memory->notes;
    image->refs = 2;
    pthread_mutex_init(&memory->lock, NULL);
    return &memory->store;
}

struct store *store_memory_new(struct store_faults *faults)
{
    return memory_with(image_new(0), faults);
}

struct store *store_memory_after_power_cut(const struct store *store)
{
    struct memory *memory = (struct memory *)(uintptr_t)store;

    assert(store->ops == &memory_ops);
    pthread_mutex_lock(&memory->lock);
    struct image *image = image_new(memory->synced->len);
    for (size_t i = 0; i < memory->synced->len; i++) {
        const struct entry *entry = memory->synced->entries[i];
        struct entry *copy = entry_new(key_of(entry), value_of(entry), false);
        image_append(image, copy);
        copy->refs--;
    }
    uint64_t marked = memory->marked;
    pthread_mutex_unlock(&memory->lock);
    struct store *left = memory_with(image, NULL);
    ((struct memory *)left)->marked = marked;
    for (const struct note *note = memory->notes; note; note = note->after)
        memory_note(left, &note->record, 1, NULL);
    return left;
}
