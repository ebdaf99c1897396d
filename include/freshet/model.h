/*
 * model.h -- what the engine asks of an algorithm, and what it shares with all of them.
 *
 * The life of an event, seen from a model:
 *
 *     prepare   a few events ahead: fetch what learning will touch (hints only, may be skipped)
 *     learn     with the user's history as it was BEFORE the event
 *     forget    an item has left a user's history (eviction, or forgetting on request): take back what
 *               learning it has counted, with the history as it is AFTER the item has left
 *     publish   now and then, between batches: show askers what they cannot read in place
 *     save      at a freeze: journal what changed and is not in the journal yet, or owe it
 *     pay       after it, between events, until the journal is handed over: journal what is owed, as it was at the freeze
 *
 * and of a question: retrieve (a score for every item there is evidence for), explain (what a score is made of), neighbours
 * (items like an item). Questions come from many threads at once, while the engine's thread learns; each runs inside an
 * epoch and on a private copy of the user's history.
 *
 * A model never reads a clock, a configuration or a store. It is a row of registry.c.
 */
#ifndef FR_MODEL_H
#define FR_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/epoch.h"
#include "freshet/journal.h"
#include "freshet/topk.h"
#include "freshet/users_byte.h"

/*
 * A user's history: distinct items, oldest arrival first. 22 bytes per slot, parallel runs.
 *
 * An item that arrives gets the user's next sequence number and keeps it, so how far apart two items are does not change when
 * those between them leave. Slots do not hold these numbers but `step`, the way from one to the next:
 *
 *     sequence    0  1  .  .  4  5  .  (7)       2, 3 and 6 have left; 7 is for the next item to come
 *     step        1  3        1  2               a and d: 1 + 3 = 4 apart
 *     item        a  b        d  e
 *
 * A step is exact up to HISTORY_STEP_MAX. One that would become longer becomes HISTORY_STEP_FAR, and later sequence numbers are
 * then smaller by the difference. No window is as wide as that, so order, and who is within whose window, are the same.
 *
 * `stamp` packs the time of the last event on the item and how many events it stands for; `affinity` is the decayed sum of their
 * weights as of that time. `unit` is the same sum with every weight 1, kept only when sar.normalize needs it (else NULL).
 */
enum {
    HISTORY_STEP_MAX = UINT16_MAX,
    HISTORY_STEP_FAR = HISTORY_STEP_MAX / 2 + 1, /* half: the next 32,767 steps that add to it are plain sums again */
    HISTORY_WINDOW_MAX = HISTORY_STEP_FAR - 1,
};
struct history {
    const uint32_t *item;
    const uint16_t *step;
    const uint64_t *stamp;
    const double *affinity;
    const double *unit;
    uint32_t len;
};

/* How far slot `to` is from slot `from`, in sequence numbers; `to` = len: how far the next item to come will be. */
static inline uint32_t history_apart(const struct history *history, uint32_t from, uint32_t to)
{
    uint32_t apart = 0;

    for (uint32_t at = from; at < to; at++)
        apart += history->step[at];
    return apart;
}

/* stamp = last event time (44 bits) << 20 | events (20 bits, sticks at the top) */
enum { STAMP_REPEAT_BITS = 20 };
#define STAMP_REPEATS_MAX ((1U << STAMP_REPEAT_BITS) - 1)
static inline uint64_t stamp_of(when_ms last, uint32_t repeats)
{
    return (uint64_t)last << STAMP_REPEAT_BITS | repeats;
}
static inline when_ms stamp_last(uint64_t stamp)
{
    return (when_ms)(stamp >> STAMP_REPEAT_BITS);
}
static inline uint32_t stamp_repeats(uint64_t stamp)
{
    return (uint32_t)(stamp & STAMP_REPEATS_MAX);
}

/* 2^-(span / half_life), 1 for a span <= 0; half_life 0: no decay, always 1. (algorithms.md 1.2) */
double decay_factor(span_ms span, span_ms half_life);

/*
 * One user meets (or leaves) one item.
 *
 *     learn, fresh     a b c d |            at = len
 *     learn            a b c d              at: its slot
 *     forget           a b | d e            at: the slot it had, where the one after it stands now
 */
struct touch {
    uint32_t user, item, at;
    uint32_t behind, ahead; /* across |: sequence numbers from the slot before to the item, from the item to the slot after */
    bool fresh;             /* learn: the item is not in the history yet */
    when_ms when;
    double weight;
    uint64_t draw;          /* prepare, learn: the key of all randomness of this event, made of (partition, offset): a replay draws alike */
    const uint64_t *context; /* learn: features that came with the event: 64 bits of (name, value) each, never 0; none: NULL */
    size_t context_len;
    struct fr_bytes user_id; /* learn: as the event has it */
    struct history history; /* live, engine's thread only */
};

/* An item of the present session; later ones are newer. */
struct seed {
    uint32_t item;
    double weight;
    when_ms when;
};

struct query {
    struct history history; /* the asker's private copy; len 0: unknown user */
    const struct seed *seeds;
    size_t seeds_len;
    const uint64_t *context; /* features that came with the question, as in touch */
    size_t context_len;
    struct fr_bytes user_id; /* as the question has it; may be empty */
    when_ms now;     /* the newest event time applied */
    uint32_t items;  /* handles are below this */
    uint32_t best;   /* only so many of the highest scores matter, of items that are not scores_excluded; 0: all do */
    bool unit;       /* parity, for normalize: score with `unit` in place of `affinity`, seeds weigh 1 */
};

/*
 * One asking thread's accumulator over all items: dense values, and a list of those touched, so that clearing costs what was touched.
 * An item without evidence has the value -0.0, which no sum of ours can be (scores_add), so that value and touch are one word of
 * memory. `mark` and `lets` are the filter's (SCORES_*).
 */
enum { SCORES_EXCLUDED = 1, SCORES_INCLUDED = 2 };
struct scores {
    bool dense;        /* retrieve has set value[0 .. items) itself, each, and no touched; -0.0: it knows nothing of the item */
    double *value;     /* by item; -0.0: not touched */
    uint8_t *mark;     /* by item; the asker's own, all zero between its questions */
    bool (*lets)(const void *sieve, uint32_t item); /* may it be listed, as far as marks do not say? NULL: all may. The asker's own */
    const void *sieve;
    uint32_t *touched; /* items with evidence, in order of first touch */
    uint32_t touched_len;
    uint32_t items;    /* items at or past it do not exist for this query */
    uint32_t room;     /* of the arrays; scores.c's own */
    uint32_t *columns, *counts; /* scratch for one row */
    size_t row_room;
    struct fr_ranked *highest; /* scratch of whoever looks for the highest */
    size_t highest_room;
    struct rough_sums {
        uint16_t *sums;  /* by item; all 0 between questions */
        uint32_t *found; /* scratch */
        uint32_t room;
    } rough; /* of a model that looks for candidates first; none until it asks for it */
};
void scores_init(struct scores *scores);
void scores_release(struct scores *scores);
/* Makes room for `items` items and forgets the last query's values and touches. Marks stay as they are; new ones are 0. */
void scores_reset(struct scores *scores, uint32_t items);
/* Makes room for rough sums of all items. */
void scores_make_rough(struct scores *scores);
/* Cannot be in the answer. The second look costs memory far away: first ask if the item's score would do. */
static inline bool scores_excluded(const struct scores *scores, uint32_t item)
{
    return scores->mark[item] & SCORES_EXCLUDED || (scores->lets && !scores->lets(scores->sieve, item));
}
static inline bool scores_untouched(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits == UINT64_C(1) << 63;
}
static inline bool scores_touched(const struct scores *scores, uint32_t item)
{
    return !scores_untouched(scores->value[item]);
}
/* `more` + 0.0 is `more`, but for -0.0, which becomes +0.0; and from +0.0 no sum comes back to -0.0. */
static inline double scores_sum(double value, double more)
{
    return value + (more + 0.0);
}
static inline void scores_add(struct scores *scores, uint32_t item, double more)
{
    if (item >= scores->items)
        return; /* born after this query began */
    scores->touched[scores->touched_len] = item;
    scores->touched_len += scores_untouched(scores->value[item]);
    scores->value[item] = scores_sum(scores->value[item], more);
}

struct reason_part {
    uint32_t item;       /* of the history, or a seed */
    double contribution; /* to the score */
};
/* Keeps the `parts_max` largest of those offered, largest magnitude first, equal ones in order of offer; *len is how many there are. */
void reason_offer(struct reason_part *parts, size_t *len, size_t parts_max, uint32_t item, double contribution);

/* What the engine lends to every model. */
struct model_host {
    struct fr_epoch *epoch;
    struct journal **journal;              /* the journal of the moment; engine's thread */
    const _Atomic uint32_t *users_of_item; /* n_i: histories that hold the item. Any thread; never moves */
    const _Atomic uint32_t *items_held;    /* items with n_i > 0. Any thread */
    size_t items_max;
    const _Atomic uint64_t *events;        /* applied ever, as of the last batch; engine's thread */
    bool (*said)(const void *catalogue, uint32_t item); /* is there a record of it? Any thread, inside an epoch. NULL: of none */
    const void *catalogue;
    const _Atomic uint8_t *users_bytes; /* users_byte(n_i), for questions that a bound will do for; likewise. NULL: there are none */
};

/* May an item be in an answer that the model has a score for? */
static inline bool model_host_offers(const struct model_host *host, uint32_t item)
{
    return atomic_load_explicit(&host->users_of_item[item], memory_order_relaxed) || (host->said && host->said(host->catalogue, item));
}

struct model_stats {
    uint64_t events, pairs, pruned;
    bool lasts; /* `events` is stored with the model: all it has learned of, also before this start */
    uint64_t skipped, guarded;          /* events not learned since a number was not finite; rows cut back to the longest allowed */
    uint64_t features;                  /* rows of keyed features, */
    uint64_t refused, expired, evicted; /* uses of keys that had no row (yet); rows freed by age; rows freed for others */
    size_t bytes;
};

/* What a score is besides an order. */
enum score_unit {
    SCORE_ORDERS,   /* nothing */
    SCORE_LOG_ODDS, /* log odds that an item is the choice and not one of those drawn beside it */
    SCORE_WEIGHT,   /* what the event is expected to weigh */
};
enum { BESIDE_MAX = 256 };

struct model; /* each model's own */

/* What a model keeps in the store: one of journal.h's tables, which is its alone. */
struct model_table {
    enum journal_table table;
    /* One row of it, columns ascending, before anybody learns or asks: sums of a SUM table, cells of a BYTES table. False if it
     * cannot be ours. Thread: any, several at a time for different rows. */
    bool (*load)(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums, const struct fr_bytes *cells,
                 size_t len);
};

/* NULL where nothing is said to the contrary: never. */
struct model_ops {
    const char *name;
    bool anybody; /* it has an answer for users of whom nothing is known */
    bool relative; /* its scores mean something beside one another only: 0 is one like any other, and not what no evidence is worth */
    /* What of a forgotten user's or item's events stays in it, for people; NULL: nothing does. */
    const char *remains;
    const struct model_table *tables; /* NULL: it keeps nothing */
    size_t tables_len;
    struct model *(*open)(const void *options, const struct model_host *host);
    void (*close)(struct model *model);
    /* Thread: engine. */
    void (*extend)(struct model *model, uint32_t items); /* items [0, items) may be named from now on */
    void (*prepare)(const struct model *model, const struct touch *touch, int stage); /* stage 0: headers, 1: cells. May be NULL */
    void (*learn)(struct model *model, const struct touch *touch);
    void (*forget)(struct model *model, const struct touch *touch);
    void (*forget_user)(struct model *model, struct fr_bytes user_id); /* what is of this user alone, histories apart */
    /* What users were forgotten, as one number: it is another with each of them, and no other again. Once after loading, before anything
     * is learned, as of what was loaded: a model that knows of another one has missed somebody. Then after each. NULL: it keeps nothing that
     * is of one user alone. */
    void (*forgotten)(struct model *model, uint64_t users);
    /* The features of what is said of the item, as keys, instead of those before; len 0: it has none any more. While loading, before
     * its rows are loaded, from any thread, for different items. NULL: it goes by none. */
    void (*describe)(struct model *model, uint32_t item, const uint64_t *keys, size_t len);
    void (*publish)(struct model *model); /* after loading, then within a second of what was learned, and before what depends on
                                            * it is ranked for evaluation. NULL: askers read in place */
    bool (*behind)(const struct model *model); /* publish has shown only a part, so as not to take long; it wants to be called again */
    void (*save)(struct model *model);    /* NULL: learn and forget have journaled all */
    /* Puts up to `cells` cells that save has left owing into the journal of that moment. True: nothing is owed any more; until then save
     * is not called, and that journal stays. Learning pays what it is about to change. NULL: save owes nothing. */
    bool (*pay)(struct model *model, size_t cells);
    /* After loading: does what was loaded stand for all events applied (host.events), and for no more than is held? If not, recall begins anew (NULL), and is given
     * every user's history, in the order of handles. NULL: what was not learned is missed, and that is all. */
    bool (*current)(const struct model *model);
    void (*recall)(struct model *model, const struct history *history);
    /* Thread: any, inside an epoch. */
    void (*retrieve)(const struct model *model, const struct query *query, struct scores *scores);
    /* Has anything been learned of one of these features, so that there is an answer for users of whom no more is known? NULL: never. */
    bool (*knows)(const struct model *model, const uint64_t *context, size_t len);
    /* With so many items, would retrieve find the `best` by an estimate of their scores, so that one may be missing? The scores it
     * gives are exact all the same. NULL: never. */
    bool (*estimates)(const struct model *model, uint32_t items, uint32_t best);
    /* values[i] = the score of items[i], the same that retrieve gives it where all matter; -0.0: it knows nothing of the item. NULL: only
     * retrieve knows. */
    void (*score)(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values);
    /* Of its scores. NULL: SCORE_ORDERS. *ret_beside: log odds, how many are drawn beside a choice, at most BESIDE_MAX. */
    enum score_unit (*unit)(const struct model *model, uint32_t *ret_beside);
    size_t (*explain)(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                      struct reason_part *parts, size_t parts_max); /* largest magnitude first. NULL: no reasons */
    const char *rest; /* for people: what a score is made of beside what explain tells. NULL: of nothing */
    void (*neighbours)(const struct model *model, uint32_t item, struct scores *scores); /* NULL: it knows none */
    void (*stats)(const struct model *model, struct model_stats *ret_stats);
};

extern const struct model_ops sar_ops, popular_ops, trending_ops, fm_ops, ncf_ops, ease_ops;

/* By name, or NULL. registry_at(0..) walks them; NULL at the end. */
const struct model_ops *registry_find(const char *name, size_t len);
const struct model_ops *registry_at(size_t index);

#endif
