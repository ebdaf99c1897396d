/*
 * forget.c -- who and what is forgotten: users and items of whom a tombstone came.
 *
 *     tombstone of a user    cut-off | history taken back from every model, slot by slot | id wiped
 *     tombstone of an item   cut-off | id wiped: nothing names the handle any more, and the same id would be another item
 *                                |
 *                            `items` --> in no answer from here on
 *                                |
 *                            a pass over all histories, a slice between batches: where one holds a forgotten item, the item
 *                            leaves it, as by eviction, and every model takes back what it has counted
 *
 * One pass serves all items that were forgotten before it began; later ones wait for the next. Users made meanwhile cannot hold such an
 * item, since no event can name it. What a slice takes back is journaled like anything else, and the item's mark in the store
 * goes when its pass is over: a crash begins that pass anew, which finds less to do.
 *
 * Thread: engine, but where said.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/log.h"

enum { COLUMN_FIRST_SEEN = 1, COLUMN_GONE = 2, SLICE = 8192, LEAVING = 64 /* slots that one leaving is worth */, GONE_FIRST = 64 };

/* What is being forgotten. Readers see it grow in place; where it is full a larger one takes its place, so n items cost no more than n. */
struct gone {
    size_t cap;
    _Atomic size_t len; /* what stands before it never changes */
    uint32_t items[];   /* the first `passing` of them are what the pass takes out */
};

struct forgetting {
    struct gone *_Atomic gone; /* NULL: nothing */
    _Atomic size_t len;        /* its length; for the metrics, which are in no epoch */
    size_t passing;
    uint64_t *wanted; /* a bit per item, of the pass; NULL: none runs */
    uint32_t user, users, items_len; /* next; end of the pass; items the bits are for */
    struct fr_series *events[3], *forgotten[3]; /* by enum format_forgotten */
};

struct forgetting *forgetting_new(struct engine *engine)
{
    struct forgetting *forgetting = fr_zalloc(1, sizeof(*forgetting));
    static const char *const kinds[] = {[FORMAT_USER] = "user", [FORMAT_ITEM] = "item"};

    (void)engine;
    for (int kind = FORMAT_USER; kind <= FORMAT_ITEM; kind++) {
        forgetting->events[kind] = fr_series(FR_M_EVENTS_FORGOTTEN, kinds[kind], "", "");
        forgetting->forgotten[kind] = fr_series(FR_M_FORGOTTEN, kinds[kind], "", "");
    }
    return forgetting;
}

void forgetting_free(struct forgetting *forgetting)
{
    if (!forgetting)
        return;
    free(atomic_load(&forgetting->gone));
    free(forgetting->wanted);
    free(forgetting);
}

/* ---- the list, and its readers ---- */

static struct gone *gone_of(const struct engine *engine) /* the engine's own look */
{
    return atomic_load_explicit(&engine->forgetting->gone, memory_order_relaxed);
}

static size_t gone_len(const struct engine *engine)
{
    return atomic_load_explicit(&engine->forgetting->len, memory_order_relaxed);
}

static struct gone *gone_new(const uint32_t *items, size_t len, size_t cap)
{
    struct gone *gone = fr_alloc(sizeof(*gone) + cap * sizeof(*gone->items));

    gone->cap = cap;
    atomic_init(&gone->len, len);
    if (len)
        memcpy(gone->items, items, len * sizeof(*items));
    return gone;
}

static void free_gone(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static void retire(struct engine *engine, struct gone *old)
{
    if (old)
        fr_epoch_retire(engine->epoch, free_gone, NULL, old, sizeof(*old) + old->cap * sizeof(*old->items));
}

/* From here on readers mark it. Returns the list that this one has taken the place of; NULL: there was room. */
static struct gone *add(struct forgetting *forgetting, uint32_t item)
{
    struct gone *gone = atomic_load_explicit(&forgetting->gone, memory_order_relaxed), *old = NULL;
    size_t len = atomic_load_explicit(&forgetting->len, memory_order_relaxed);

    if (!gone || len == gone->cap) {
        old = gone;
        gone = gone_new(old ? old->items : NULL, len, old ? len * 2 : GONE_FIRST);
        atomic_store_explicit(&forgetting->gone, gone, memory_order_seq_cst);
    }
    gone->items[len] = item;
    atomic_store_explicit(&gone->len, len + 1, memory_order_release);
    atomic_store_explicit(&forgetting->len, len + 1, memory_order_relaxed);
    return old;
}

void forgetting_mark(struct reader *reader)
{
    const struct gone *gone = atomic_load_explicit(&reader->engine->forgetting->gone, memory_order_seq_cst);
    size_t len = gone ? atomic_load_explicit(&gone->len, memory_order_acquire) : 0;

    for (size_t i = 0; i < len; i++)
        reader_mark(reader, gone->items[i], SCORES_EXCLUDED);
}

/* ---- tombstones ---- */

static bool is_before(const struct engine *engine, enum format_forgotten kind, struct fr_bytes id, when_ms logged)
{
    when_ms upto = cutoffs_upto(engine->cutoffs, kind, id);

    return upto >= 0 && logged <= upto;
}

bool forgotten(struct engine *engine, const struct event *event)
{
    bool user = is_before(engine, FORMAT_USER, event->user, event->logged);

    if (!user && !is_before(engine, FORMAT_ITEM, event->item, event->logged))
        return false;
    fr_count(engine->forgetting->events[user ? FORMAT_USER : FORMAT_ITEM], 1);
    return true;
}

static void drop_user(struct engine *engine, uint32_t user)
{
    apply_forget_user(engine, user);
    models_forget_user(engine, user);
    apply_unsay_user(engine, user);
    dict_remove(engine->users, user);
    journal_clear(engine->journal, TABLE_HISTORY, user);
    journal_put(engine->journal, TABLE_USERS, user, 0, "", 0);
}

/* The id goes before the record that may hide the item: a reader who finds no record any more finds no id either. */
static void drop_item(struct engine *engine, uint32_t item)
{
    dict_remove(engine->items, item);
    apply_unsay_item(engine, item);
    journal_put(engine->journal, TABLE_ITEMS, item, 0, "", 0);
    journal_delete(engine->journal, TABLE_ITEMS, item, COLUMN_FIRST_SEEN);
    journal_put(engine->journal, TABLE_ITEMS, item, COLUMN_GONE, "", 0);
    retire(engine, add(engine->forgetting, item));
    watch_owe_everyone(engine);
}

/*
 * One that is read again (after a restore, or in a replay) finds its cut-off in place: what is held by then is of later events, and stays. What
 * was said of the id is taken back all the same, for it stands before the tombstone in the same log.
 */
void forget_user(struct engine *engine, const struct event *event)
{
    uint32_t user = dict_find(engine->users, event->user, dict_hash(event->user));
    bool again = is_before(engine, FORMAT_USER, event->user, event->logged);

    if (user != DICT_NONE && again)
        apply_unsay_user(engine, user);
    if (again)
        return;
    cutoffs_put(engine->cutoffs, FORMAT_USER, event->user, event->logged < 0 ? 0 : event->logged, engine->journal,
                engine->frozen + 1);
    if (user != DICT_NONE)
        drop_user(engine, user);
    models_forgotten(engine, cutoffs_users(engine->cutoffs));
    fr_count(engine->forgetting->forgotten[FORMAT_USER], 1);
}

void forget_item(struct engine *engine, const struct event *event)
{
    uint32_t item = dict_find(engine->items, event->item, dict_hash(event->item));
    bool again = is_before(engine, FORMAT_ITEM, event->item, event->logged);

    if (item != DICT_NONE && again)
        apply_unsay_item(engine, item);
    if (again)
        return;
    cutoffs_put(engine->cutoffs, FORMAT_ITEM, event->item, event->logged < 0 ? 0 : event->logged, engine->journal,
                engine->frozen + 1);
    if (item != DICT_NONE)
        drop_item(engine, item);
    fr_count(engine->forgetting->forgotten[FORMAT_ITEM], 1);
}

when_ms engine_cutoff(struct engine *engine, bool item, struct fr_bytes id)
{
    return cutoffs_look(engine->cutoffs, item ? FORMAT_ITEM : FORMAT_USER, id);
}

int forget_note(void *context, uint64_t number, struct fr_err *err)
{
    struct engine *engine = context;

    return cutoffs_note(engine->cutoffs, engine->store, number, err);
}

/* ---- the pass ---- */

void forget_waits(struct engine *engine, uint32_t item)
{
    free(add(engine->forgetting, item)); /* at loading nobody reads */
}

bool forgetting_goes_on(const struct engine *engine)
{
    return gone_len(engine) > 0;
}

static void begin_pass(struct engine *engine)
{
    struct forgetting *forgetting = engine->forgetting;
    const uint32_t *items = gone_of(engine)->items;

    forgetting->passing = gone_len(engine);
    forgetting->items_len = dict_len(engine->items);
    forgetting->wanted = fr_zalloc(forgetting->items_len / 64 + 1, sizeof(*forgetting->wanted));
    for (size_t i = 0; i < forgetting->passing; i++)
        forgetting->wanted[items[i] / 64] |= UINT64_C(1) << items[i] % 64;
    forgetting->user = 0;
    forgetting->users = dict_len(engine->users);
}

static void end_pass(struct engine *engine)
{
    struct forgetting *forgetting = engine->forgetting;
    struct gone *old = gone_of(engine), *left = NULL;
    size_t passed = forgetting->passing, len = gone_len(engine) - passed;

    for (size_t i = 0; i < passed; i++)
        journal_delete(engine->journal, TABLE_ITEMS, old->items[i], COLUMN_GONE);
    if (len)
        left = gone_new(old->items + passed, len, len < GONE_FIRST ? GONE_FIRST : len * 2);
    atomic_store_explicit(&forgetting->gone, left, memory_order_seq_cst);
    atomic_store_explicit(&forgetting->len, len, memory_order_relaxed);
    retire(engine, old);
    forgetting->passing = 0;
    free(forgetting->wanted);
    forgetting->wanted = NULL;
}

static bool is_wanted(const struct forgetting *forgetting, uint32_t item)
{
    return item < forgetting->items_len && forgetting->wanted[item / 64] >> item % 64 & 1;
}

/* Returns what it has cost, in slots. */
static uint32_t take_out(struct engine *engine, uint32_t user)
{
    uint32_t len = histories_view(engine->histories, user).len, cost = len + 1;
    bool changed = false;

    for (uint32_t at = len; at-- > 0;) {
        if (!is_wanted(engine->forgetting, histories_view(engine->histories, user).item[at]))
            continue;
        apply_leave(engine, user, at);
        cost += LEAVING;
        changed = true;
    }
    if (changed) {
        apply_save_head(engine, user);
        models_learned(engine, 1);
        if (engine->extremes)
            extremes_update(engine->extremes, user);
        watch_tell_user(engine, user);
    }
    return cost;
}

void forget_slice(struct engine *engine)
{
    struct forgetting *forgetting = engine->forgetting;

    if (!forgetting_goes_on(engine))
        return;
    if (!forgetting->wanted)
        begin_pass(engine);
    for (uint32_t cost = 0; cost < SLICE && forgetting->user < forgetting->users;)
        cost += take_out(engine, forgetting->user++);
    if (forgetting->user >= forgetting->users)
        end_pass(engine);
}

/* ---- at the start ---- */

/*
 * A restored backup knows users and items that were forgotten since, and so does a store that was killed between the ledger and its
 * checkpoint; nothing of theirs is younger than the store. Who had been forgotten by then already, and came back, stays.
 */
static void forget_again(struct engine *engine, const struct cutoffs *lacked)
{
    uint32_t users = dict_len(engine->users), items = dict_len(engine->items), forgotten_now = 0;

    for (uint32_t user = 0; user < users; user++) {
        struct fr_bytes id = dict_id(engine->users, user);
        if (id.len && cutoffs_upto(lacked, FORMAT_USER, id) >= 0) {
            drop_user(engine, user);
            forgotten_now++;
            fr_epoch_reclaim(engine->epoch);
        }
    }
    for (uint32_t item = 0; item < items; item++) {
        struct fr_bytes id = dict_id(engine->items, item);
        if (id.len && cutoffs_upto(lacked, FORMAT_ITEM, id) >= 0) {
            drop_item(engine, item);
            forgotten_now++;
            fr_epoch_reclaim(engine->epoch);
        }
    }
    fr_log(FR_WARN, "engine", "forgotten.again", FR_FIELDS(FR_INT("ids", forgotten_now)),
           "the state is older than what was forgotten since; it is forgotten again");
}

int forget_recover(struct engine *engine, struct fr_err *err)
{
    struct cutoffs *lacked = cutoffs_new();
    int status = cutoffs_load(engine->cutoffs, engine->store, engine->journal, lacked, err);

    if (status == FR_OK)
        models_forgotten(engine, cutoffs_users_stored(engine->cutoffs));
    if (status == FR_OK && cutoffs_len(lacked)) {
        forget_again(engine, lacked);
        models_forgotten(engine, cutoffs_users(engine->cutoffs));
    }
    cutoffs_free(lacked);
    return status;
}

void forget_figures(const struct engine *engine)
{
    fr_gauge(FR_SERIES(FR_M_FORGETTING), (double)gone_len(engine));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "cutoffs", "", ""), (double)cutoffs_bytes(engine->cutoffs));
}
