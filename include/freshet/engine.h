/*
 * engine.h -- the only writer of state, and the read side that answers from what it has published.
 *
 * One event's life: feed takes an empty batch (engine_batch_take), fills it with decoded records and gives it
 * back (engine_batch_give). The engine's thread drops repeats, resolves ids to dense handles, lets each model learn, updates the
 * user's history, and publishes the new position. When the checkpoint thread is free and checkpoint_interval has passed, it
 * sets aside the journal of all changes, with the positions they stand for, and hands it over once models have paid what they owe to
 * it; one atomic write makes both lasting.
 *
 * One question's life: a serving thread owns a reader; reader_begin() notes the positions reached and enters the epoch,
 * reader_recommend() and its sisters copy what they need of the published state, reader_end() lets go. No lock, no
 * waiting for the engine in either direction (daemon/THREADS.md).
 */
#ifndef FR_ENGINE_H
#define FR_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/catalogue.h"
#include "freshet/clock.h"
#include "freshet/err.h"
#include "freshet/event.h"
#include "freshet/model.h"
#include "freshet/sar.h"
#include "freshet/store.h"

struct engine;

enum { ENGINE_MODELS_MAX = 8 };
#define ENGINE_BLEND "auto"
/* A model that runs beside SAR. */
struct engine_model {
    const char *name;    /* as in the registry, or ENGINE_BLEND, which asks all the others */
    const void *options; /* its options struct */
};

struct engine_options {
    uint32_t history_max;          /* distinct items kept per user; 0 = unbounded. Shapes the state */
    uint32_t users_max, items_max; /* events that would exceed them are dead-lettered ("capacity") */
    uint32_t categories_max;       /* names of categories known; records that would exceed it are dead-lettered ("capacity"). 0: 100,000 */
    uint32_t catalogue_mb_max;     /* of what is said of items and users, likewise; 0: no bound */
    bool require_catalogue;        /* only items of which the catalogue says something are in answers */
    when_ms (*clock)(void);        /* for availability; NULL: the wall clock. Thread: any */
    uint64_t memory_soft, memory_hard; /* bytes held: at soft no new users and items, at hard no events (memory.c); 0 = off */
    uint64_t (*memory_held)(void *context); /* asked for them on the engine's thread; must not block */
    void *memory_context;
    bool user_postings;            /* item -> users, for Similar of a user */
    bool normalize;                /* parity: keep unit affinities. Shapes the state */
    span_ms dedup_window;          /* of Kafka time; 0 = off */
    uint32_t dedup_max;            /* event ids remembered per partition at most; oldest go first */
    uint32_t uncommitted_mb_max;   /* journals not yet handed over; at the limit the engine stops taking events */
    uint32_t outbox_mb_max;        /* dead letters not yet acknowledged; at the limit feed stops polling */
    span_ms checkpoint_interval, wal_sync_interval;
    uint64_t similar_work_max;     /* postings and history slots one Similar of a user may visit */
    uint32_t evaluate_every;       /* prequential: rank one in so many events before learning it; 0 = never */
    const char *const *types;      /* metric labels of the event types; the last is "other" */
    size_t types_len;
    struct sar_options sar;
    const struct engine_model *models; /* beside SAR, in the order they learn. Borrowed until engine_open returns */
    size_t models_len;                 /* less than ENGINE_MODELS_MAX */
    const char *default_model;         /* who answers where nobody is named; NULL: sar */
    /* Answers follow from the events alone, the clock has no say: a batch is told as applied only when every model shows it, and what is
     * solved in the background is when engine_refresh asks for it. Costs time. For replays. */
    bool publish_at_once;
    /* What shapes the state, as "key=value" lines sorted by key; recorded in a new store, compared with an old one's. */
    const char *shape;
    bool forget_positions;         /* --dev: the log is new, positions begin at 0 */
    /* Below so many free bytes ingest is held and nothing is written; 0: not watched. disk_free is asked on the checkpoint's thread. */
    uint64_t disk_reserve;
    uint64_t (*disk_free)(void *context);
    /* The store cannot be gone on with in this process; ask for the stop. Thread: the checkpoint's. */
    void (*broken)(void *context);
    void *context; /* of these two */
};

/* Loads the state. FR_CONFIG if the store was built with another shape (the text names both values), or a model is named that there is
 * not. The store is borrowed and must outlive the engine. */
int engine_open(struct engine **ret_engine, const struct engine_options *options, struct store *store, struct fr_err *err);
int engine_start(struct engine *engine, struct fr_err *err);
/* Applies what was given, writes and syncs a last checkpoint, ends the threads. False if that last checkpoint failed. */
bool engine_stop(struct engine *engine, struct fr_err *err);
/* Once feed has stopped polling: true when all that was given is applied, shown to askers, written and synced, false when that takes longer. Thread:
 * main. */
bool engine_settle(struct engine *engine, int timeout_ms);
void engine_free(struct engine *engine);

/* ---- feed ------------------------------------------------------------------------------------------------ */

enum { PARTITIONS_MAX = 4096, CLUSTER_BYTES_MAX = 255 };
enum partition_state {
    PARTITION_WAITING,
    PARTITION_RUNNING,
    PARTITION_HALTED_GAP,           /* Kafka has deleted what comes next */
    PARTITION_HALTED_TRUNCATED,     /* the log ends before what comes next */
    PARTITION_HALTED_OTHER_LOG,     /* the record applied last is another one in this log */
    PARTITION_HALTED_POISON,        /* too much of it cannot be applied */
    PARTITION_HALTED_OTHER_CLUSTER, /* the brokers belong to another cluster than the state */
    PARTITION_STATES
};
const char *partition_state_name(enum partition_state state); /* "waiting", "running", "halted_gap" ... */

/* The engine's index of a topic partition, made at its first use. *ret_next: the next offset to apply, -1 if the store knows
 * none. FR_LIMIT beyond PARTITIONS_MAX. Thread: any. */
int engine_partition(struct engine *engine, const char *topic, int32_t number, uint32_t *ret_index, int64_t *ret_next,
                     struct fr_err *err);
/* What feed knows of a partition: its state, the log's end, the Kafka time of the oldest record fetched (or known of) and not yet
 * given (-1: none). Thread: feed. */
void engine_partition_says(struct engine *engine, uint32_t index, enum partition_state state, int64_t end, when_ms oldest);
/* The end last told still held at that wall time, or another was fetched since. Who is silent for longer than this is not taken to stand
 * where he stood. Thread: feed. */
enum { ENGINE_HEARD_MS = 10000 };
void engine_partition_heard(struct engine *engine, uint32_t index, when_ms wall);
/* The answers are to hold what is in this topic, one of three at most: until Kafka has told which partitions it has, or that there is no such
 * topic, nobody knows how stale they are. Awaited before anybody asks. Of partitions from `count` on (0: nothing is said of them) the store knows, but Kafka
 * has none any more: they are not stale. May be told again when the count changes. Thread: main and feed; told, feed. */
void engine_topic_awaited(struct engine *engine, const char *topic);
void engine_topic_told(struct engine *engine, const char *topic, size_t count);
/* Offset and fingerprint of the last record applied; false if none is known. Thread: feed, before it gives records of the
 * partition. */
bool engine_partition_print(struct engine *engine, uint32_t index, int64_t *ret_offset, uint64_t *ret_print);

/* One more than the highest number among the partitions known of the topic. Thread: any. */
uint32_t engine_partitions_known(struct engine *engine, const char *topic);

/* The Kafka cluster whose log the state stands for, "" while none is recorded; recorded in the write that holds the next change.
 * Thread: feed. */
const char *engine_cluster(struct engine *engine, char room[CLUSTER_BYTES_MAX + 1]);
void engine_cluster_set(struct engine *engine, const char *id);
/* The oldest offset Kafka still holds. Thread: feed. */
void engine_partition_low(struct engine *engine, uint32_t index, int64_t low);

/* An empty batch, or NULL when none comes free in time (the engine is behind, or at a limit): stop polling and come back.
 * Thread: feed. */
struct event_batch *engine_batch_take(struct engine *engine, int timeout_ms);
/* Asked of each record that is put into the batch, but rejects: must its event carry it in `reject`, without a reason? So it is while the
 * state may have no room for it, which would make it a dead letter. Thread: feed. */
bool engine_batch_wants_record(struct engine *engine, struct event_batch *batch, enum event_kind kind);
/* Copies all that the event points to, but its reject; or a reject, whole; into the batch. Thread: feed. */
void engine_batch_keep(struct event_batch *batch, struct event *event);
const struct reject *engine_batch_keep_reject(struct event_batch *batch, const struct reject *reject);
void engine_batch_give(struct engine *engine, struct event_batch *batch); /* also an empty one */

/* How many batches have been given; and have so many been applied? Thread: any. */
uint64_t engine_given(const struct engine *engine);
bool engine_applied(const struct engine *engine, uint64_t given);

/* Why ingest stands still although there is room; queries go on. Each reason is set and taken back by one part of the daemon. */
enum engine_hold { HOLD_DISK, HOLD_MEMORY, HOLD_ASKED, HOLDS };
/* While any reason stands, engine_batch_take gives nothing, so that feed stops polling; what was given is still applied.
 * Exported as freshet_ingest_held{reason}. Thread: any. */
void engine_hold(struct engine *engine, enum engine_hold why, bool on);
bool engine_held(const struct engine *engine);
bool engine_holds_for(const struct engine *engine, enum engine_hold why); /* does this reason stand? */
/* Has feed given back every batch it took, and is each applied? While a reason stands, and once this is so, the state stays as it is. */
bool engine_at_rest(struct engine *engine);
/* Puts the names of the reasons that stand, literals, into names; returns how many. */
size_t engine_holds(const struct engine *engine, const char *names[static HOLDS]);

/* A dead letter that is in the synced store and may leave. */
struct dead_letter {
    uint64_t id;
    struct fr_bytes topic; /* where it came from */
    int32_t partition;
    int64_t offset;
    when_ms logged; /* as of struct reject */
    bool has_key, has_value;
    struct fr_bytes key, value, reason, message;
};
/* The oldest dead letter not yet taken, or NULL if none is ready in time. Valid until engine_outbox_done. Thread: feed's delivery. */
const struct dead_letter *engine_outbox_take(struct engine *engine, int timeout_ms);
void engine_outbox_done(struct engine *engine, uint64_t id);    /* Kafka has it: leaves the store. Thread: any */
void engine_outbox_again(struct engine *engine, uint64_t id);   /* Kafka refused for now: will be taken again. Thread: any */
/* Waits until Kafka has every dead letter there is; false when some are left by then. Thread: any */
bool engine_outbox_wait_empty(struct engine *engine, int timeout_ms);

/* ---- status and checkpoints (thread: any) ---------------------------------------------------------------- */

struct position {
    const char *topic;
    int32_t partition;
    int64_t next; /* next to be applied */
};
struct partition_status {
    const char *topic;
    int32_t partition;
    enum partition_state state;
    int64_t applied, durable, end, lag; /* -1 while unknown; durable: while no synced checkpoint has the partition */
    int64_t low;                        /* the oldest offset Kafka still holds; -1 while unknown */
    when_ms newest;                     /* Kafka time of the newest record applied; -1: none */
    double lag_seconds;                 /* the age of the oldest record not applied; +Inf: there are some, of any age */
    bool unsure;                        /* whether there is one is not known: if there is, it is no older */
};
struct engine_status {
    uint64_t users, items, pairs, model_events; /* model_events: applied ever */
    size_t model_bytes;                         /* SAR's */
    size_t models_len;
    struct {
        const char *name;
        uint64_t events; /* it has learned of: all, but for a model that came later or passes some over */
        size_t bytes;
    } models[ENGINE_MODELS_MAX + 1]; /* all that can be asked, in order */
    double age_seconds; /* since the state last changed */
    size_t letters;         /* dead letters that Kafka has not acknowledged, */
    double letters_seconds; /* and since when it has acknowledged none; 0: none waits */
    size_t partitions_len;
    struct partition_status partitions[PARTITIONS_MAX];
};
void engine_status(struct engine *engine, struct engine_status *ret_status); /* large: not for the stack */
/* The names that ask.model may have: SAR first; NULL past the last. */
const char *engine_model(const struct engine *engine, size_t index);
/* Of the model of that index: what of a forgotten user's or item's events stays in it; NULL: nothing does, or there is no such model. */
const char *engine_model_remains(const struct engine *engine, size_t index);
/* Can this one say which items are like an item? The blend can: SAR speaks for it. */
/* What its scores say. Thread: any. */
enum score_unit engine_model_unit(const struct engine *engine, const char *name);
bool engine_model_has_neighbours(const struct engine *engine, const char *name);

/* Asks for a checkpoint that holds everything applied by now; returns its ticket. */
uint64_t engine_checkpoint_ask(struct engine *engine);
struct engine_checkpoint {
    uint64_t keys;
    double seconds; /* to write it */
    size_t durable_len;
    struct position durable[PARTITIONS_MAX];
};
/* True once that checkpoint is written and synced; fills *ret (NULL is fine). */
bool engine_checkpoint_done(struct engine *engine, uint64_t ticket, struct engine_checkpoint *ret);

/* Makes `path` a copy of the store that stands for what was applied up to now or a moment before (store_ops.snapshot). Waits for
 * it: as long as a checkpoint takes, and while one cannot be written. FR_FULL while ingest is held for the disk, FR_CLOSED when
 * stopping, or if `stop` becomes true before it has begun. Thread: one that may wait, between engine_start and engine_stop. */
int engine_snapshot(struct engine *engine, const char *path, const _Atomic bool *stop, struct fr_err *err);

/* Solves anew, from at least what is applied by now, what is solved in the background (EASE), and waits until askers see it. False
 * if that takes longer, fails, or the engine stops. Thread: one that may wait, between engine_start and engine_stop. */
bool engine_refresh(struct engine *engine, int timeout_ms);

/* ---- questions -------------------------------------------------------------------------------------------- */

struct reader;
struct reader *reader_new(struct engine *engine); /* one per asking thread */
void reader_free(struct reader *reader);
void reader_begin(struct reader *reader);
void reader_end(struct reader *reader); /* answers and the ids in them are valid until here */

struct as_of {
    const struct position *positions;
    size_t positions_len;
    when_ms event_time;
    double staleness_seconds; /* as lag_seconds, of all there is */
    const char *untold;       /* a topic of which Kafka has told nothing since the start, so that staleness is a guess; NULL: there is none */
};
const struct as_of *reader_as_of(const struct reader *reader); /* as of reader_begin */
/* Has everything before these positions been applied? An unknown partition has not. Needs no reader. */
bool engine_reached(struct engine *engine, struct fr_bytes topic, int32_t partition, int64_t next);
/* Events of the user (or item) up to this Kafka time are ignored for ever; negative: it was not forgotten. Needs no reader. */
when_ms engine_cutoff(struct engine *engine, bool item, struct fr_bytes id);

/*
 * A user whose list somebody wants to hear of, whether or not the user is known yet: of the user's events and record, and of what changes
 * the items that may be listed. What is asked after engine_watch has seen it, or engine_moved will be true; then ask again. Now and then
 * that is true although nothing has changed. The struct is the watcher's own.
 * Thread: any.
 */
struct watched {
    uint64_t hash;
    uint32_t moves, everyones; /* the user's, and those that are for whoever watches */
};
struct watched engine_watch(struct engine *engine, struct fr_bytes user);
void engine_unwatch(struct engine *engine, const struct watched *watched);
/* Since engine_watch or since it was last true, may the user's list have changed? */
bool engine_moved(const struct engine *engine, struct watched *watched);
/* Waits until somebody who is watched has moved, or for engine_watch_wake (any thread). Thread: one. */
void engine_watch_wait(struct engine *engine);
void engine_watch_wake(struct engine *engine);

struct ask_seed {
    struct fr_bytes item;
    double weight; /* finite; 0 = 1 */
    when_ms when;  /* 0 = the newest event time */
};
enum popular_by { POPULAR_USERS, POPULAR_TRENDING, POPULAR_NEWEST, POPULAR_BYS };
struct ask {
    const char *model;    /* one of engine_model's; NULL or "": the default */
    struct fr_bytes user; /* may be empty when there are seeds */
    const struct ask_seed *seeds;
    size_t seeds_len;
    const struct fr_bytes *exclude, *include; /* include_len 0 and !only_include: everything */
    size_t exclude_len, include_len;
    /* Names of categories: one of `any`, each of `all`, none of `none`. An item of which nothing is said has no category. */
    const struct fr_bytes *any, *all, *none;
    size_t any_len, all_len, none_len;
    uint32_t max_per_category; /* 0: no bound. Best first, an item is left out if one of its categories has so many in the answer */
    const uint64_t *context; /* features that came with the question, as in struct query */
    size_t context_len;
    uint32_t k;
    bool explain, include_seen;
    /* Of reader_recommend, each within 0 and 1, 0 = off: how much variety counts against score, how much of the list is drawn; and what the
     * drawing depends on, with the user. The same question of the same state with the same draw has the same answer. With draw_by_history
     * also the user's history: one draw is then another for each, and the same for one. */
    double diversity, exploration;
    uint64_t draw;
    bool draw_by_history;
    enum popular_by by; /* of reader_popular */
};
struct why {
    struct fr_bytes item; /* of the history, or a seed; empty: the text says what it is */
    double contribution;
    const char *text;     /* NULL: because of the item */
};
struct recommended {
    struct fr_bytes item;
    double score;
    const char *source; /* "sar", "popular": the model that brought it */
    const struct why *reasons;
    size_t reasons_len;
    double propensity; /* with which it was put here, given those before it; 0: nothing was drawn */
};
struct recommendation_list {
    const struct recommended *items;
    size_t len;
    const char *model;
    bool fallback; /* popular items are among them, to fill in */
};
void reader_recommend(struct reader *reader, const struct ask *ask, struct recommendation_list *ret_list);

/* Where an item stands among all that reader_recommend could list, were k that many. */
struct rank {
    bool listed;             /* false: unknown, or the question leaves it out; the rest is 0 */
    uint32_t before, beside; /* others with a higher score; with the same, */
    uint32_t ahead;          /* of which so many have an id that comes first: the place in the list is before + ahead + 1 */
    uint32_t candidates;     /* with itself */
    uint32_t users;          /* that hold it */
    uint32_t above, held;    /* of all items, the user's own among them: those that more users hold; those that somebody does */
    bool scored;             /* the model has something to say of it, */
    double score;            /* and that is it */
};
/* Is an item among the tenth that most users hold? `above`, `held`: as in struct rank. */
static inline bool item_is_head(uint32_t above, uint32_t held)
{
    return (uint64_t)above * 10 < held;
}
/* One rank per item. Costs a look at every item there is. */
void reader_ranks(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len, struct rank *ret_ranks);

/*
 * What the model says of each item, in this order, whether or not it could be listed: the score it has in reader_recommend's list of up to
 * 50 without a filter. Unknown items, and those of which there is nothing to say, score 0, with the source "". Of the question k, the filter
 * and explain are not looked at; reasons are not given.
 */
void reader_score(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len,
                  struct recommendation_list *ret_list);

struct explanation {
    double score;  /* as of reader_score */
    uint32_t rank; /* its place, from 1, in a list that goes on for ever (of the blend: that has the candidates of one of up to 50, and
                    * popular items behind them); 0: the list leaves it out */
    const struct why *reasons; /* they add up to the score; the largest magnitude first */
    size_t reasons_len;
    const char *const *excluded_by; /* "unknown item", "no evidence", "seen", "seed", "filter" (max_per_category too) ... */
    size_t excluded_by_len;
};
/* Why an item is recommended, and why not. Of the question k and explain are not looked at. Costs a look at every item there is. */
void reader_explain(struct reader *reader, const struct ask *ask, struct fr_bytes item, struct explanation *ret_explanation);

struct neighbour {
    struct fr_bytes id;
    double similarity;
};
struct neighbour_list {
    const struct neighbour *neighbours;
    size_t len;
};
/* FR_NOT_FOUND: unknown item. Of the filter model, k, exclude and include are used. SAR speaks for a model that has no neighbours. */
int reader_similar_items(struct reader *reader, struct fr_bytes item, const struct ask *filter, struct neighbour_list *ret_list,
                         struct fr_err *err);
/* FR_NOT_FOUND: unknown user; FR_LIMIT: more work than similar_work_max; FR_INVALID: no postings are kept. */
int reader_similar_users(struct reader *reader, struct fr_bytes user, uint32_t k, struct neighbour_list *ret_list,
                         struct fr_err *err);
/*
 * By ask.by, best first, equal ones by item id, and the score is the figure:
 *
 *     POPULAR_USERS      distinct users
 *     POPULAR_TRENDING   the same, each fading by trending.half_life_days, as of the newest event time. Nothing if that model does not run
 *     POPULAR_NEWEST     when it came, Unix ms: available_from if the catalogue says that, else the smallest event time seen on it. Also
 *                        what nobody has touched yet
 */
void reader_popular(struct reader *reader, const struct ask *filter, struct recommendation_list *ret_list);

struct user_affinity {
    struct fr_bytes item;
    double affinity; /* as of the newest event time */
    when_ms last;
};
struct user_facts {
    const struct user_affinity *affinities; /* largest affinity first, equal ones by item id */
    size_t affinities_len;
    when_ms last_event; /* the newest of the affinities'; 0: there is none */
    uint64_t events;    /* that the affinities stand for; of one no more than 2^20 - 1 are told apart */
    const struct features_said *features; /* NULL: nothing is said of the user */
};
int reader_user(struct reader *reader, struct fr_bytes user, struct user_facts *ret_facts, struct fr_err *err); /* FR_NOT_FOUND */
struct item_facts {
    uint64_t users;
    double trending;    /* its users, each fading, as of the newest event time; 0 if that model does not run */
    when_ms first_seen; /* the smallest event time seen on it; 0: no event yet */
    const struct item_said *said; /* NULL: the catalogue says nothing of it */
};
int reader_item(struct reader *reader, struct fr_bytes item, struct item_facts *ret_facts, struct fr_err *err); /* FR_NOT_FOUND */

#endif
