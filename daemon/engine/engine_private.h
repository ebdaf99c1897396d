/*
 * engine_private.h -- the rooms of the engine, and who owns what in them.
 *
 *     hold.c memory.c    when ingest stands still, and who is let in
 *     engine.c    open, load, the thread's loop, stop           apply.c    one batch: repeats, ids, learning, history
 *     apply_said.c catalogue.c    what is said of items and users beside events
 *     publish.c   positions, freezing, durable offsets, status   outbox.c   dead letters until Kafka has them
 *     gaps.c      what Kafka had deleted before it was read     forget.c cutoffs.c   who and what is forgotten
 *     recover.c   the state from the store at the start
 *     models.c blend.c    which models run, and when they show what they have learned
 *     refresh.c   the thread that solves EASE               watch.c    whose events somebody wants to hear of
 *     filter.c    what a question may list                  arrange.c  in which order, if not simply the best first
 *     query.c score.c similar.c popular.c facts.c ranks.c     questions, on readers
 *     extremes.c  smallest and largest affinity, for normalize   evaluate.c quality.c adwin.c  prequential quality
 */
#ifndef FR_ENGINE_PRIVATE_H
#define FR_ENGINE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "freshet/ease.h"
#include "freshet/engine.h"
#include "freshet/journal.h"
#include "freshet/life.h"
#include "freshet/metric.h"
#include "freshet/model.h"
#include "freshet/queue.h"
#include "freshet/rows.h"
#include "freshet/topk.h"
#include "catalogue.h"
#include "checkpoint.h"
#include "cutoffs.h"
#include "dedup.h"
#include "dict.h"
#include "histories.h"

enum { BATCHES = 8, POPULAR_PAGE = 4096, OUTBOX_BUCKETS = 4096, SAID_KINDS = EVENT_USER_GONE - EVENT_ITEM + 1 };

struct partition {
    char topic[TOPIC_BYTES_MAX + 1];
    int32_t number;
    uint64_t identity; /* of the two: the same in every store */
    /* any thread reads; the engine writes */
    _Atomic int64_t next;        /* next to be applied; -1: nothing known yet */
    _Atomic int64_t last_logged; /* Kafka time of the newest record applied */
    /* the checkpoint's thread writes */
    _Atomic int64_t durable;
    /* feed writes */
    _Atomic int64_t low;
    _Atomic int64_t end, oldest;
    _Atomic int64_t heard, caught_up; /* wall times: when Kafka last told where it ends, when nothing was left to apply; 0: never yet */
    _Atomic bool awaited;             /* feed reads it, or would; else it is of a topic that nobody reads any more */
    _Atomic bool gone;                /* its topic has fewer partitions now */
    _Atomic int state;
    /* engine's thread only */
    int64_t position; /* runs ahead of `next` within a batch */
    int64_t newest;   /* of this batch's records */
    int64_t last;     /* offset of the last record applied, and its fingerprint; -1: unknown */
    uint64_t print;
    struct format_holes *holes; /* NULL: there are none */
    bool moved;
    _Atomic bool unsaved; /* set true by whoever makes it */
    struct fr_series *applied_series, *durable_series, *lag_series, *lag_seconds_series, *skipped_series;
    struct fr_series *state_series[PARTITION_STATES];
};

/* What a freeze stands for, kept until it is synced. */
enum { FREEZES_MAX = 64 };
struct freeze {
    uint64_t number;
    size_t len;
    int64_t *next; /* by partition index */
    struct freeze *after;
};

enum outbox_stage { OUTBOX_WAITS, OUTBOX_READY, OUTBOX_TAKEN, OUTBOX_DONE, OUTBOX_STAGES };

struct outbox_entry {
    struct dead_letter letter;
    size_t bytes;
    uint64_t frozen_in; /* may leave once this freeze is synced */
    enum outbox_stage stage;
    struct outbox_entry *before, *after; /* in its stage's list */
    struct outbox_entry *same_bucket;    /* by id */
};

struct outbox_list {
    struct outbox_entry *first, *last;
};

struct learner {
    const struct model_ops *ops;
    struct model *model;
};

enum { AWAITED_MAX = 3 }; /* of events, items and users */

struct engine {
    /* fixed once open */
    when_ms opened; /* wall time */
    struct engine_options options;
    struct store *store;
    struct fr_epoch *epoch;
    struct dict *users, *items;
    struct histories *histories;
    struct rows *postings;          /* NULL: not kept */
    struct catalogue *catalogue;
    struct dedup *dedup;            /* NULL: off */
    struct cutoffs *cutoffs;
    struct forgetting *forgetting;
    struct extremes *extremes;      /* NULL: not normalizing */
    struct evaluator *evaluator;
    struct board *board; /* who is watched */
    struct learner learners[ENGINE_MODELS_MAX]; /* SAR first */
    size_t learners_len;
    struct blend *blend;             /* NULL: off */
    struct learner blended;          /* whom questions for the blend are for; no model of its own */
    const struct learner *answering; /* the default model */
    struct refresh *refresh;
    struct checkpoint *checkpoint;
    struct fr_thread *thread;
    struct fr_queue *given, *spare; /* batches to apply; batches to fill */
    struct event_batch *batches[BATCHES], nudge;

    /* the engine writes, any thread reads */
    struct fr_array item_users;      /* _Atomic uint32_t n_i, by item */
    struct fr_array item_bytes;      /* _Atomic uint8_t users_byte(n_i), likewise */
    struct fr_array item_first_seen; /* _Atomic int64_t, by item: event time + 1; 0: never */
    struct fr_array page_peak;       /* _Atomic uint32_t: no n_i in the page of POPULAR_PAGE items is above it */
    struct fr_array page_newest;     /* _Atomic int64_t, likewise: no item in it came later; + 1, 0: none has come */
    _Atomic uint32_t items_held;     /* items with n_i > 0 */
    _Atomic int64_t now;             /* the newest event time applied; -1: none */
    _Atomic uint64_t events;         /* applied ever */
    _Atomic int64_t changed;         /* wall time of the last batch */
    pthread_mutex_t give_lock;       /* of giving a batch */
    _Atomic uint32_t batches_bare;   /* out, or given and not yet applied, and not whole */
    _Atomic uint64_t batches_given, batches_done;
    _Atomic int64_t batch_oldest[BATCHES * 2]; /* oldest Kafka time in batch number n, at n mod its length */
    _Atomic int64_t uncommitted_since; /* wall time of the oldest batch in the journal of the moment; 0: none */
    _Atomic int64_t unwritten_since;   /* the same of the journal set aside or handed over, not written yet; older, if any */
    _Atomic uint32_t users_max, items_max; /* the bounds in force: the options', or lower (memory.c) */
    _Atomic bool closing, closed;          /* admission: about to be, is */
    _Atomic bool sequences_end;            /* some user's sequence numbers do, soon (apply.c) */
    _Atomic bool nudged;               /* `nudge` is among the given: it never takes a batch's place there */

    /* engine's thread only */
    struct journal *journal;
    struct journal *aside;  /* the last freeze's, while models owe to it; NULL: it is handed over */
    uint64_t longest_ns;    /* that the engine has stood still for that freeze, so far */
    uint64_t frozen; /* number of the last freeze */
    uint64_t asked_answered;
    uint64_t memory_look_ns; /* when to look at the memory next */
    uint64_t work, work_max; /* pairs of items: of the part of a batch in hand so far, and how many end it (apply.c) */
    struct fr_pulse *pulse;  /* NULL: its thread does not run */
    struct {
        _Atomic uint64_t events; /* learned and not shown yet; any thread reads */
        uint64_t since_ns;       /* since when */
        uint64_t rest_ns;        /* not before: publishing has taken its share of the time */
    } unpublished;
    bool stopping;
    uint64_t context[FEATURES_MAX]; /* of the touch in hand */
    uint64_t *type_counts;
    struct fr_series **type_series;
    struct fr_series *said_series[SAID_KINDS]; /* from EVENT_ITEM on */
    struct fr_series *duplicate_series, *visible_series, *pause_series, *evicted_series;

    /* under lock */
    pthread_mutex_t lock;
    struct partition *partitions[PARTITIONS_MAX];
    _Atomic uint32_t partitions_len; /* grows under lock, read by any */
    struct freeze *freezes, **freezes_tail; /* oldest first */
    size_t freezes_len;
    uint64_t asked;
    struct {
        uint64_t upto, number;
    } covers[64]; /* tickets up to `upto` are covered by freeze `number` */
    size_t covers_len;
    _Atomic uint64_t synced;
    char cluster[CLUSTER_BYTES_MAX + 1]; /* whose log it is; "": not yet known */
    _Atomic bool cluster_unsaved;

    /* topics that feed reads, or would if they were there; feed writes */
    struct {
        char topic[TOPIC_BYTES_MAX + 1];
        _Atomic bool told; /* Kafka has told which partitions it has */
    } awaited[AWAITED_MAX];
    _Atomic uint32_t awaited_len; /* grows under lock, read by any */

    /* the outbox, under its own lock (taken after `lock`, never before) */
    pthread_mutex_t outbox_lock;
    pthread_cond_t outbox_changed;
    struct outbox_list outbox[OUTBOX_STAGES];
    struct outbox_entry *outbox_by_id[OUTBOX_BUCKETS];
    uint64_t outbox_last_id; /* engine's thread */
    _Atomic size_t outbox_bytes, outbox_len;
    uint64_t outbox_moved_ns; /* when Kafka last acknowledged a letter, or the first came that it had not */
    _Atomic bool outbox_closed;
    _Atomic bool stop;

    /* hold.c; the lock and the condition are for feed's waiting alone */
    _Atomic unsigned holds; /* a bit for each reason that stands */
    _Atomic uint32_t batches_out; /* with feed; grows under hold_lock only, and while no reason stands */
    pthread_mutex_t hold_lock;
    pthread_cond_t hold_changed;
};

/* apply.c; thread: engine */
/* The next events of the batch, up to some for which much had to be done, or all that are left: true, and it may be given back. */
bool apply_part(struct engine *engine, struct event_batch *batch);
uint32_t apply_user(struct engine *engine, struct fr_bytes id, uint64_t hash); /* a new one's handle, where no bound stands against it */
uint32_t apply_item(struct engine *engine, struct fr_bytes id, uint64_t hash);
/* The bound of the state that stands against one more; NULL if none does. */
const char *apply_user_bound(const struct engine *engine);
const char *apply_item_bound(const struct engine *engine);
uint32_t apply_sequences_left(struct engine *engine, uint32_t user); /* for more items of the user; told if they end soon. Thread: also loaders */
/* A record that would exceed a bound of the state. Nothing of it has been applied. */
void apply_refuse(struct engine *engine, const struct event *event, const char *why);
/* apply_said.c: EVENT_ITEM .. EVENT_USER_GONE. */
void apply_said(struct engine *engine, const struct event *event);
/* False: these bytes say nothing. Thread: also loaders, each item one. */
bool apply_say_item(struct engine *engine, uint32_t item, struct fr_bytes said);
/* Nothing is said of it any more. */
void apply_unsay_item(struct engine *engine, uint32_t item);
void apply_unsay_user(struct engine *engine, uint32_t user);
void apply_forget_event(struct engine *engine, uint32_t user, uint32_t item, when_ms when, double weight);
void apply_forget_user(struct engine *engine, uint32_t user);
void apply_leave(struct engine *engine, uint32_t user, uint32_t at); /* the item in slot `at` leaves; the head is to be saved */
void apply_save_head(struct engine *engine, uint32_t user);
void apply_save_history(struct engine *engine, uint32_t user);
void apply_item_held(struct engine *engine, uint32_t item, int by); /* n_i and what hangs on it */
void apply_items_counted(struct engine *engine); /* what hangs on n_i, of all items, once that is all that was loaded of them */
void apply_make_room(struct engine *engine, uint32_t users, uint32_t items);

/* publish.c */
struct partition *partition_at(const struct engine *engine, uint32_t index); /* any thread */
struct partition *partition_make(struct engine *engine, uint32_t index, const char *topic, size_t topic_len, int32_t number);
void publish_positions(struct engine *engine);                               /* engine */
void publish_freeze(struct engine *engine);                                  /* engine: between batches, if one is due and none under way */
void publish_pay(struct engine *engine);                                     /* engine: between events, a slice of the one under way */
void engine_nudge(struct engine *engine);                                    /* any: the engine looks around */
void publish_written(void *engine, uint64_t number);                         /* checkpoint */
void publish_synced(void *engine, uint64_t number);                          /* checkpoint */
void publish_figures(void *engine);                                          /* metrics collector */

/* staleness.c; thread: any */
struct staleness {
    double seconds;
    bool unsure;        /* there may be no such record, but nobody knows */
    const char *untold; /* a topic of which Kafka has told nothing since the start; NULL: there is none */
};
struct staleness partition_staleness(const struct engine *engine, const struct partition *partition, when_ms wall);
struct staleness engine_staleness(const struct engine *engine, when_ms wall);
/* Offsets up to `end` of which nothing is applied, when `next` comes next. */
int64_t partition_left(const struct partition *partition, int64_t next, int64_t end);

/* models.c; thread: engine */
int models_open(struct engine *engine, struct fr_err *err);
void models_close(struct engine *engine);
void models_publish(struct engine *engine);                  /* now */
void models_learned(struct engine *engine, uint64_t events); /* after a batch */
void models_publish_due(struct engine *engine, bool idle);   /* between batches; idle: none waits */
bool models_unpublished(const struct engine *engine);       /* any: is there what askers do not see yet? */
/* Any thread. NULL if no such model runs; "" or NULL is the default. */
const struct learner *models_find(const struct engine *engine, const char *name);
void models_describe(struct engine *engine, uint32_t item, const struct catalogue_item *record); /* NULL: nothing is said any more */
void models_forget_user(struct engine *engine, uint32_t user); /* while it has its id */
void models_forgotten(struct engine *engine, uint64_t users); /* model.h */
enum score_unit models_unit(const struct learner *learner, uint32_t *ret_beside); /* model_ops.unit */

/* outbox.c */
void outbox_add(struct engine *engine, const struct event *event);        /* engine */
double outbox_tell(struct engine *engine, size_t *ret_len); /* any: letters that Kafka has not, and seconds since it has taken none; 0: there are none */
bool outbox_has_room(struct engine *engine, int timeout_ms);              /* feed */
void outbox_collect(struct engine *engine);                               /* engine: journals what Kafka has */
void outbox_synced(struct engine *engine, uint64_t number);               /* checkpoint */
int outbox_recover(struct engine *engine, struct fr_err *err);
void outbox_release(struct engine *engine);

/* gaps.c */
void gap_step(struct engine *engine, struct partition *partition, int64_t to); /* engine: [position, to) is a hole, journaled */
void gaps_forget(struct engine *engine, struct partition *partition); /* engine: it is another log; the total goes on, journaled */
int gaps_recover(struct engine *engine, struct fr_err *err);

/* forget.c */
struct forgetting *forgetting_new(struct engine *engine);
void forgetting_free(struct forgetting *forgetting);
int forget_recover(struct engine *engine, struct fr_err *err); /* once the tables are loaded */
void forget_waits(struct engine *engine, uint32_t item);       /* at loading: an item that was being forgotten */
void forget_user(struct engine *engine, const struct event *event);  /* engine: a tombstone */
void forget_item(struct engine *engine, const struct event *event);
bool forgotten(struct engine *engine, const struct event *event);    /* engine: is it of before a tombstone? Counted */
/* Engine, between batches: takes forgotten items out of some more histories. */
void forget_slice(struct engine *engine);
bool forgetting_goes_on(const struct engine *engine); /* engine */
void forgetting_mark(struct reader *reader);          /* any: what is being forgotten is in no answer */
int forget_note(void *engine, uint64_t number, struct fr_err *err); /* checkpoint */
void forget_figures(const struct engine *engine);     /* metrics collector */

/* hold.c */
void holds_init(struct engine *engine);
void holds_release(struct engine *engine);
bool holds_pass(struct engine *engine, int timeout_ms); /* feed: true as soon as no reason stands; a batch more is out then, */
void holds_back(struct engine *engine);                 /* and now it is not */

/* memory.c */
int memory_recover(struct engine *engine, struct fr_err *err); /* what was decided before */
void memory_look(struct engine *engine);                       /* engine: between batches */
/* Engine, before a batch: closes admission if that is due and the batch carries whole records. */
void memory_decide(struct engine *engine, const struct event_batch *batch);
bool memory_full(const struct engine *engine); /* any: must batches carry whole records? */

/* recover.c */
int recover(struct engine *engine, struct fr_err *err);

/* refresh.c */
struct refresh_facts {
    bool ever;              /* there was one since the start */
    span_ms since, took;    /* since the last one ended; its time */
    uint64_t changed, slots; /* slots of histories that came or left since it began; that there were then */
};
bool refresh_due(const struct ease_options *options, const struct refresh_facts *facts);
struct refresh *refresh_new(struct engine *engine); /* once the models are open; its series are there even if EASE does not run */
void refresh_start(struct refresh *refresh);        /* once the state is loaded */
void refresh_stop(struct refresh *refresh);         /* within a block of the solver, a fraction of a second */
void refresh_free(struct refresh *refresh);
void refresh_show(struct refresh *refresh);         /* engine: between batches; what is new, askers see from here on */
void refresh_figures(struct refresh *refresh);      /* metrics collector */

/* extremes.c */
struct extremes *extremes_new(const struct histories *histories, span_ms half_life);
void extremes_free(struct extremes *extremes);
void extremes_update(struct extremes *extremes, uint32_t user); /* the user's history has changed. Thread: engine */
/* Smallest and largest affinity there is, as of `now`. False: there is none. Thread: any. */
bool extremes_at(const struct extremes *extremes, when_ms now, double *ret_min, double *ret_max);

/* evaluate.c; thread: engine */
struct evaluator *evaluator_new(struct engine *engine); /* once the models are open; its series are there even if nothing is evaluated */
void evaluator_free(struct evaluator *evaluator);
void evaluate(struct evaluator *evaluator, const struct touch *touch); /* before it is learned; fresh, and of positive weight */
void evaluator_save(struct evaluator *evaluator);                      /* before the journal is handed over */
bool evaluator_load(void *evaluator, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len);
void evaluator_loaded(struct evaluator *evaluator);

/* watch.c; thread: engine. After the positions are shown: those of these events who are watched are told of it, and of their records. */
struct board *board_new(void);
void board_free(struct board *board);
void watch_tell_events(struct engine *engine, const struct event *events, uint32_t len);
void watch_tell_user(struct engine *engine, uint32_t user);
void watch_owe_everyone(struct engine *engine);  /* the items that may be listed have changed: whoever watches will be told */
bool watch_owes(const struct engine *engine);
void watch_tell_everyone(struct engine *engine); /* who is owed it, unless that was done a moment ago. After the positions are shown */
void watch_tell_shown(struct engine *engine, bool all); /* the models have shown what they have learned: all of it, or a part */
void watch_expect_more(struct engine *engine); /* there is a model that does so later than it learns */

/* One asking thread's room. */
struct reader {
    struct engine *engine;
    struct fr_epoch_reader *presence;
    struct fr_arena arena;
    struct scores scores, scratch;
    struct scores heard[ENGINE_MODELS_MAX]; /* where several models are asked: of those that only retrieve knows; no marks */
    struct history_copy history, other;
    uint32_t items; /* as of reader_begin */
    uint32_t *marked; /* items whose mark the filter has set */
    size_t marked_len, marked_cap;
    struct as_of as_of;
    struct position positions[PARTITIONS_MAX];
};

static inline uint32_t users_of(const struct engine *engine, uint32_t item)
{
    const _Atomic uint32_t *users = fr_array_at(&engine->item_users, item);

    return atomic_load_explicit(users, memory_order_relaxed);
}

/* May the item be in an answer? Somebody holds it; or it is in the catalogue, and there is a score of it. */
static inline bool item_offered(const struct reader *reader, const struct scores *scores, uint32_t item)
{
    return users_of(reader->engine, item) ||
           (scores && scores_touched(scores, item) && catalogue_item(reader->engine->catalogue, item));
}

/* filter.c, shared by the kinds of question */
struct choice { /* what a filter allows, beside marks and sieve */
    bool only_included;
    const uint32_t *included;
    size_t included_len;
};
struct categories {
    const uint32_t *at; /* numbers */
    size_t len;
};
struct sieve { /* what the catalogue says against an item */
    const struct catalogue *catalogue;
    when_ms now;
    struct fr_bytes asker;
    bool required; /* of which nothing is said is not listed */
    bool any_asked, nothing; /* nothing: a category is asked for that no item has */
    struct categories any, all, none;
};
bool sieve_lets(const void *sieve, uint32_t item);
/* Does the question's own filter let the item through, whatever the catalogue says besides? After reader_filter, before reader_unmark_all. */
bool filter_lets(const struct reader *reader, const struct ask *ask, uint32_t item);
void reader_mark(struct reader *reader, uint32_t item, uint8_t bit);
void reader_unmark_all(struct reader *reader); /* the end of every question that has called reader_filter or reader_mark */
struct choice reader_filter(struct reader *reader, const struct ask *ask);
bool reader_allows(const struct reader *reader, const struct choice *choice, uint32_t item);

struct caps { /* most of each category in an answer */
    const struct catalogue *catalogue;
    uint32_t most; /* 0: no bound */
    uint32_t categories, *counts;
};
void caps_init(struct caps *caps, struct reader *reader, uint32_t most);
bool caps_let(const struct caps *caps, const struct catalogue_item *record); /* of an item with this record (or NULL), one more */
void caps_count(struct caps *caps, const struct catalogue_item *record, int by);
struct picks { /* best first */
    struct fr_ranked *at;
    const struct learner **sources; /* NULL: none is noted */
    double *propensities;           /* NULL: nothing was drawn */
    size_t len;
};
/* Moves to the front those that the caps allow, at most k, and counts them. Returns how many; their records are in `records`. */
size_t caps_take(struct caps *caps, struct picks *picks, size_t k, const struct catalogue_item **records);
typedef struct picks picker(struct reader *reader, const void *context, size_t k); /* the k best of something */
/* The k best that the caps allow: in order, each is taken that no category of its own forbids by then. `pick` gives the k best without,
 * and is called for more of them until there are enough; after the last call its accumulator stands. Caps go on counting. */
struct picks reader_pick(struct reader *reader, struct caps *caps, size_t k, picker *pick, const void *context);

uint32_t reader_item_of(const struct reader *reader, struct fr_bytes id); /* DICT_NONE: unknown as of reader_begin */

/* What the models know a question or an event by, besides the history: what came with it, then what is said of the user, as far as
 * FEATURES_MAX reaches. `room` is used where both are there. Thread: any, inside an epoch. */
const uint64_t *features_joined(const struct catalogue *catalogue, uint32_t user, const uint64_t *context, size_t len,
                                uint64_t room[FEATURES_MAX], size_t *ret_len);

/* query.c, shared likewise */
/* Copies the history, resolves the seeds, forgets the scores of the question before. */
struct query reader_prepare(struct reader *reader, const struct ask *ask);
void reader_mark_seen(struct reader *reader, const struct ask *ask, const struct query *query);
/* Is there anything the model could go by? Else popular items answer. */
bool reader_knows(const struct engine *engine, const struct query *query, const struct learner *learner);
/*
 * What learner `m` has to say of the `best` items that may be listed (0: of all), of the included ones alone if that is asked: it is
 * where the return value says, until the next one is heard. Of one that only retrieve knows, all, in `heard`, until the next question.
 */
const struct scores *reader_hear(struct reader *reader, size_t m, const struct query *query, const struct choice *choice, uint32_t best);
/* Of `scores`, the items that the filter allows and somebody holds. */
void reader_offer(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top);
/* The model's scores are exact SAR's: an item without evidence is a candidate too, at score 0. */
bool reader_in_parity(const struct engine *engine, const struct learner *learner);
bool item_before(void *reader, uint32_t a, uint32_t b); /* by id, bytewise */
/* The k best of what reader->scores holds and the filter allows, best first; in parity of what has no evidence too. Returns how many. */
size_t reader_best(struct reader *reader, const struct choice *choice, bool parity, struct fr_ranked *room, size_t k);
/* What normalize makes of this model's scores: (score - shift) * scale + base. */
struct affine {
    double shift, scale, base;
};
struct affine reader_normal_map(struct reader *reader, const struct learner *learner, const struct query *query);
/* ranks.c: could it be listed? */
bool ranks_candidate(const struct reader *reader, const struct choice *choice, const struct scores *scores, uint32_t item);
/* Adds up the ranks of those that are listed: what reader->scores holds, under the marks. */
void ranks_count(const struct reader *reader, const struct choice *choice, bool parity, const uint32_t *handles, size_t len,
                 struct rank *ranks);
/*
 * ranks.c: the place of an item in the list that these scores make: how many are before it, and how many beside. The item may be listed.
 * `scores` NULL: nobody is asked. `zero`: those without evidence stand at score 0 (parity). Where `scores` are of the best alone,
 * places among these are right, and others are behind all of them.
 */
struct place {
    uint32_t before, beside, ahead; /* ahead: of those beside, whose id comes first; counted by ranks_count alone */
};
struct place place_in_list(const struct reader *reader, const struct choice *choice, const struct scores *scores, bool zero, uint32_t item);
/* ranks.c: where the item at this place, from 1, of that list stands if a category has `most` places at most; 0: one of its own is full. */
uint32_t ranks_under_caps(struct reader *reader, const struct choice *choice, bool parity, uint32_t most, uint32_t item, uint32_t place);
/* popular.c */
void popular_came(struct engine *engine, uint32_t item, when_ms when); /* seen first, or to be available from then. Thread: engine, loaders */
double popular_trending(const struct reader *reader, uint32_t item);   /* 0 if the model does not run */
/* The most held items that are neither excluded nor touched (and included, if that is asked), best first. */
struct picks popular_best(struct reader *reader, const void *choice, size_t k);

#endif
