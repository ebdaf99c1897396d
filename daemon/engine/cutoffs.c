/*
 * cutoffs.c -- see cutoffs.h.
 */
#include "cutoffs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/alloc.h"

enum { PLACES_FIRST = 64, NOTE_AT_ONCE = 1024 };

struct owed {
    struct format_cutoff cutoff;
    uint64_t number; /* the journal that holds it */
};

struct cutoffs {
    struct format_cutoff *places; /* kind 0: free. The engine's thread writes, under lock, and reads without */
    size_t room;                  /* a power of two */
    _Atomic size_t len, bytes;
    uint64_t users, users_stored; /* cutoffs.h */
    pthread_mutex_t lock;
    struct owed *owed; /* under lock; in the order of numbers. The first owed_done are in the ledger */
    size_t owed_done, owed_len, owed_cap;
};

struct cutoffs *cutoffs_new(void)
{
    struct cutoffs *cutoffs = fr_zalloc(1, sizeof(*cutoffs));

    cutoffs->room = PLACES_FIRST;
    cutoffs->places = fr_zalloc(cutoffs->room, sizeof(*cutoffs->places));
    atomic_store(&cutoffs->bytes, cutoffs->room * sizeof(*cutoffs->places));
    pthread_mutex_init(&cutoffs->lock, NULL);
    return cutoffs;
}

void cutoffs_free(struct cutoffs *cutoffs)
{
    if (!cutoffs)
        return;
    pthread_mutex_destroy(&cutoffs->lock);
    free(cutoffs->owed);
    free(cutoffs->places);
    free(cutoffs);
}

size_t cutoffs_len(const struct cutoffs *cutoffs)
{
    return atomic_load_explicit(&cutoffs->len, memory_order_relaxed);
}

size_t cutoffs_bytes(const struct cutoffs *cutoffs)
{
    return atomic_load_explicit(&cutoffs->bytes, memory_order_relaxed);
}

uint64_t cutoffs_users(const struct cutoffs *cutoffs)
{
    return cutoffs->users;
}

uint64_t cutoffs_users_stored(const struct cutoffs *cutoffs)
{
    return cutoffs->users_stored;
}

static struct format_cutoff named(enum format_forgotten kind, struct fr_bytes id)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(id.at, id.len, kind);

    return (struct format_cutoff){.kind = (uint8_t)kind, .hash = {hash.low64, hash.high64}, .upto = -1};
}

/* Where it is, or would be. */
static struct format_cutoff *place_of(const struct cutoffs *cutoffs, const struct format_cutoff *cutoff)
{
    size_t at = cutoff->hash[0] & (cutoffs->room - 1);

    while (cutoffs->places[at].kind &&
           (cutoffs->places[at].kind != cutoff->kind || memcmp(cutoffs->places[at].hash, cutoff->hash, sizeof(cutoff->hash))))
        at = (at + 1) & (cutoffs->room - 1);
    return &cutoffs->places[at];
}

static void grow(struct cutoffs *cutoffs)
{
    struct format_cutoff *old = cutoffs->places;
    size_t room = cutoffs->room;

    cutoffs->room = room * 2;
    cutoffs->places = fr_zalloc(cutoffs->room, sizeof(*cutoffs->places));
    for (size_t i = 0; i < room; i++)
        if (old[i].kind)
            *place_of(cutoffs, &old[i]) = old[i];
    free(old);
    atomic_store_explicit(&cutoffs->bytes, cutoffs->room * sizeof(*cutoffs->places), memory_order_relaxed);
}

/* False: one as late is there already. */
static bool put_locked(struct cutoffs *cutoffs, const struct format_cutoff *cutoff)
{
    struct format_cutoff *place = place_of(cutoffs, cutoff);

    if (place->kind && place->upto >= cutoff->upto)
        return false;
    if (!place->kind && (cutoffs_len(cutoffs) + 1) * 2 > cutoffs->room) {
        grow(cutoffs);
        place = place_of(cutoffs, cutoff);
    }
    if (cutoff->kind == FORMAT_USER)
        cutoffs->users += (uint64_t)cutoff->upto - (place->kind ? (uint64_t)place->upto : UINT64_MAX);
    if (!place->kind)
        atomic_fetch_add_explicit(&cutoffs->len, 1, memory_order_relaxed);
    *place = *cutoff;
    return true;
}

static bool put(struct cutoffs *cutoffs, const struct format_cutoff *cutoff)
{
    pthread_mutex_lock(&cutoffs->lock);
    bool is_later = put_locked(cutoffs, cutoff);
    pthread_mutex_unlock(&cutoffs->lock);
    return is_later;
}

when_ms cutoffs_upto(const struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id)
{
    if (cutoffs_len(cutoffs) == 0)
        return -1;
    struct format_cutoff wanted = named(kind, id);
    const struct format_cutoff *place = place_of(cutoffs, &wanted);

    return place->kind ? place->upto : -1;
}

when_ms cutoffs_look(struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id)
{
    pthread_mutex_lock(&cutoffs->lock);
    when_ms upto = cutoffs_upto(cutoffs, kind, id);
    pthread_mutex_unlock(&cutoffs->lock);
    return upto;
}

static void journal_it(struct journal *journal, const struct format_cutoff *cutoff)
{
    struct fr_writer key, value;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_cutoff_key(&key, cutoff);
    format_cutoff_value(&value, cutoff);
    journal_key_put(journal, fr_written(&key), fr_written(&value));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

static void owe(struct cutoffs *cutoffs, const struct format_cutoff *cutoff, uint64_t number)
{
    pthread_mutex_lock(&cutoffs->lock);
    fr_reserve((void **)&cutoffs->owed, &cutoffs->owed_cap, cutoffs->owed_len + 1, sizeof(*cutoffs->owed));
    cutoffs->owed[cutoffs->owed_len++] = (struct owed){*cutoff, number};
    pthread_mutex_unlock(&cutoffs->lock);
}

void cutoffs_put(struct cutoffs *cutoffs, enum format_forgotten kind, struct fr_bytes id, when_ms upto, struct journal *journal,
                 uint64_t number)
{
    struct format_cutoff cutoff = named(kind, id);

    cutoff.upto = upto;
    if (!put(cutoffs, &cutoff))
        return;
    journal_it(journal, &cutoff);
    owe(cutoffs, &cutoff, number);
}

/* The first ones owed up to `number`, as records; how many. */
static size_t take_records(struct cutoffs *cutoffs, uint64_t number, struct fr_writer *out, size_t ends[static NOTE_AT_ONCE])
{
    size_t len = 0;

    pthread_mutex_lock(&cutoffs->lock);
    for (size_t i = cutoffs->owed_done; len < NOTE_AT_ONCE && i < cutoffs->owed_len && cutoffs->owed[i].number <= number; i++) {
        format_cutoff_record(out, &cutoffs->owed[i].cutoff);
        ends[len++] = out->len;
    }
    pthread_mutex_unlock(&cutoffs->lock);
    return len;
}

/* Room is made once half of it is done with, so that n of them cost no more than n. */
static void settle(struct cutoffs *cutoffs, size_t len)
{
    pthread_mutex_lock(&cutoffs->lock);
    cutoffs->owed_done += len;
    if (cutoffs->owed_done >= cutoffs->owed_len - cutoffs->owed_done) {
        cutoffs->owed_len -= cutoffs->owed_done;
        memmove(cutoffs->owed, cutoffs->owed + cutoffs->owed_done, cutoffs->owed_len * sizeof(*cutoffs->owed));
        cutoffs->owed_done = 0;
    }
    pthread_mutex_unlock(&cutoffs->lock);
}

int cutoffs_note(struct cutoffs *cutoffs, struct store *store, uint64_t number, struct fr_err *err)
{
    struct fr_bytes records[NOTE_AT_ONCE];
    size_t ends[NOTE_AT_ONCE], len;
    struct fr_writer out;
    int status = FR_OK;

    fr_writer_init(&out, 0);
    while (status == FR_OK && (fr_writer_reset(&out), len = take_records(cutoffs, number, &out, ends)) > 0) {
        for (size_t i = 0; i < len; i++)
            records[i] = (struct fr_bytes){out.at + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0)};
        status = store->ops->note(store, records, len, err);
        if (status == FR_OK)
            settle(cutoffs, len);
    }
    fr_writer_release(&out);
    return status;
}

/* ---- at the start ---- */

static int load_stored(struct cutoffs *cutoffs, struct store *store, struct fr_err *err)
{
    struct store_iter *iter = store->ops->iterate(store, fr_bytes_of(FORMAT_CUTOFF_PREFIX));
    struct fr_bytes key, value;
    int status = FR_OK;

    while (!status && store->ops->next(iter, &key, &value)) {
        struct format_cutoff cutoff;
        if (format_cutoff_read(key, value, &cutoff))
            put(cutoffs, &cutoff);
        else
            status = fr_fail(err, FR_CORRUPT, "the store's record of who was forgotten cannot be read");
    }
    int closed = store->ops->iter_close(iter, status ? NULL : err);
    return status ? status : closed;
}

struct noted {
    struct cutoffs *cutoffs, *ledger, *lacked; /* ledger: what it holds */
    struct journal *journal;
};

static bool load_note(void *context, struct fr_bytes record)
{
    struct noted *noted = context;
    struct format_cutoff cutoff;

    if (!format_cutoff_record_read(record, &cutoff))
        return false;
    put(noted->ledger, &cutoff);
    if (put(noted->cutoffs, &cutoff)) {
        journal_it(noted->journal, &cutoff);
        put(noted->lacked, &cutoff);
    }
    return true;
}

/* A damaged ledger is a matter of the disk, not of the store: no backup of the store would put it right, and none is to be used up for it. */
static int load_ledger(struct noted *noted, struct store *store, struct fr_err *err)
{
    int status = store->ops->notes(store, load_note, noted, err);

    if (status != FR_CORRUPT)
        return status;
    if (err)
        err->code = FR_IO;
    return FR_IO;
}

int cutoffs_load(struct cutoffs *cutoffs, struct store *store, struct journal *journal, struct cutoffs *lacked, struct fr_err *err)
{
    struct noted noted = {cutoffs, cutoffs_new(), lacked, journal};
    int status = load_stored(cutoffs, store, err);

    cutoffs->users_stored = cutoffs->users;
    if (status == FR_OK)
        status = load_ledger(&noted, store, err);
    for (size_t i = 0; i < cutoffs->room && status == FR_OK; i++)
        if (cutoffs->places[i].kind && put(noted.ledger, &cutoffs->places[i]))
            owe(cutoffs, &cutoffs->places[i], 0);
    cutoffs_free(noted.ledger);
    return status;
}
