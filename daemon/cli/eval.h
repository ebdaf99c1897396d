/*
 * eval.h -- freshet eval: a file through the very engine of the daemon, in this process, and what it would have been worth.
 *
 *     file --eval_log.c--> events in order --eval_replay.c--> engine (in-memory store, no Kafka)
 *     items --eval_items.c------------------------^
 *                              |                                 | ranks, lists
 *                              +--> eval_prequential.c  eval_split.c  eval_loo.c  eval_scores.c --> figures --> eval_report.c
 *
 * Nothing here reads a clock or draws from any generator but eval_random: the same command prints the same text.
 * Thread: one.
 */
#ifndef FR_EVAL_H
#define FR_EVAL_H

#include "cli.h"
#include "freshet/engine.h"
#include "freshet/settings.h"

/* ---- eval_log.c: what happened ---- */

/* Ids as numbers 0, 1, 2 ... in order of their first appearance. */
struct names {
    struct fr_arena arena;
    struct fr_bytes *ids;
    size_t len, cap;
    uint32_t *slots; /* open addressing: number + 1; 0: free */
    size_t mask;
};
#define NAME_NONE UINT32_MAX
uint32_t names_put(struct names *names, struct fr_bytes id);
uint32_t names_find(const struct names *names, struct fr_bytes id); /* NAME_NONE: it is not there */
void names_release(struct names *names);

struct eval_event {
    uint32_t user, item, type;
    uint32_t repeat_low; /* of the event_id, as in struct event */
    uint64_t repeat_high;
    when_ms when;
    double weight;
    const uint64_t *context; /* keys, as in struct event; the log's */
    uint16_t context_len;
    bool positive;      /* weighs more than 0 by the settings it was loaded with; other weights given later do not change that */
    uint32_t type_said; /* among the log's types, by its name: which `type` that is goes by the settings, as the weight does */
    double value;       /* 1: it came with none */
};
struct eval_log {
    struct fr_arena arena;
    struct names types; /* as they came */
    struct eval_event *events;
    size_t len, cap;
    uint64_t bad; /* lines */
};
/* Appends the events of a file ("-": standard input). False: it has said why. A line without a time has that of the line before. */
bool eval_load(struct eval_log *log, struct names *users, struct names *items, const char *path, const char *format,
               const struct settings *settings);
/* Gives all events the weights and types of other settings; `positive` stays. False: one would weigh more than an event may; some have
 * then been given theirs. */
bool eval_weigh(struct eval_log *log, const struct settings *settings);
void eval_log_release(struct eval_log *log);

/* ---- eval_items.c: what is said of items ---- */

struct eval_item {
    uint32_t item;
    struct fr_bytes said; /* in the form of catalogue.h; the catalogue's */
};
struct eval_catalogue {
    struct fr_arena arena;
    struct eval_item *at;
    size_t len, cap;
};
/* Of a file of items-jsonl. False: it has said why. */
bool eval_load_items(struct eval_catalogue *catalogue, struct names *items, const char *path);
void eval_catalogue_release(struct eval_catalogue *catalogue);

enum eval_order { ORDER_TIME, ORDER_FILE, ORDER_MIXED }; /* MIXED: users at random, each one's events as in the file */
void eval_sort(struct eval_log *log, size_t users, enum eval_order order, uint64_t seed);

/* A copy of the events of a further pass, in an order that goes by seed and pass alone. Nobody takes them for events told twice. */
struct eval_event *eval_pass(const struct eval_log *log, uint64_t seed, uint64_t pass);

/* Which distinct items each user has, ascending; and which events are a user's first with their item. */
struct eval_seen {
    size_t *begin; /* by user, one more at the end */
    uint32_t *items;
    bool *first; /* by event */
};
void eval_seen_init(struct eval_seen *seen, const struct eval_log *log, size_t users);
bool eval_seen_has(const struct eval_seen *seen, uint32_t user, uint32_t item);
void eval_seen_release(struct eval_seen *seen);

/* A number in [0, 2^64) for each key: counted, so that it depends on nothing drawn before. */
uint64_t eval_random(uint64_t seed, uint64_t stream, uint64_t at);

/* ---- eval_replay.c: the engine ---- */

/* What the engine had no room for: events, and what is said of items. A daemon would refuse it too. */
enum { REFUSALS_MAX = 8, REFUSAL_ROOM = 120 };
struct refusals {
    uint64_t len;
    struct refusal {
        char why[REFUSAL_ROOM]; /* with the bound's key; the last of all for those of further bounds too */
        uint64_t len;
    } by[REFUSALS_MAX];
    size_t by_len; /* those that were ever met: each is told on stderr, once */
};

struct eval;
struct replay {
    struct engine *engine;
    struct store *store;
    struct reader *reader;
    uint32_t partition;
    int64_t next; /* offset of the next event */
    const struct names *users, *items;
    struct refusals *refusals;
};
/* With the settings; says all of the catalogue. eval->refusals are this replay's from here on. */
bool replay_open(struct replay *replay, struct eval *eval);
void replay_close(struct replay *replay);
void replay_learn(struct replay *replay, const struct eval_event *events, size_t len); /* may return before they are applied */
void replay_await(struct replay *replay);                                              /* until they are */
/* And until EASE is solved from them, and all that was refused is counted. False: it has said why. */
bool replay_refresh(struct replay *replay);
/* Between these two, ranks and lists; they are valid until the second. */
void replay_begin(struct replay *replay);
void replay_end(struct replay *replay);
/* Where the event's item stands for its user, in its context; among these only, where `among` is not NULL. */
struct rank replay_rank(struct replay *replay, const char *model, const struct eval_event *event, const struct fr_bytes *among,
                        size_t among_len);
/* Its score, whatever the user has had. NAN: the model has nothing to say. */
double replay_score(struct replay *replay, const char *model, const struct eval_event *event);
enum score_unit replay_unit(const struct replay *replay, const char *model);
struct recommendation_list replay_list(struct replay *replay, const char *model, uint32_t user, uint32_t k);
/* Share of the items held by anybody that are in at least one user's list of k, and of no others; `whose`: by user. */
double replay_coverage(struct replay *replay, const char *model, uint32_t k, const bool *whose);

/* ---- eval_figures.c: sums and what they come to ---- */

struct mean { /* of x, and its standard error */
    uint64_t len;
    double sum, squares;
};
void mean_add(struct mean *mean, double x);
double mean_value(const struct mean *mean); /* NaN of nothing */
double mean_error(const struct mean *mean);

/* With r = before + beside / 2 other items better than the target: hit [r < k], NDCG 1 / log2(r + 2), reciprocal rank 1 / (r + 1), each
 * 0 where r >= k or the target is not listed. */
struct standing {
    struct mean hit, ndcg, mrr;
};
void standing_add(struct standing *standing, const struct rank *rank, uint32_t k);

/* Of scores that predict the events' weights. */
struct errors {
    struct mean squared, absolute;
};
void errors_add(struct errors *errors, double score, double weight); /* NAN: is left out */

/* Scores of positives and of negatives. A model that says nothing of a line says that it is behind all others. */
struct labels {
    struct label {
        double score;
        bool positive;
    } *at;
    size_t len, cap;
    struct mean loss; /* of log odds */
};
void labels_add(struct labels *labels, double score, bool positive, bool log_odds);

/* One user's list against what the user has in the test part: the definitions of the reference's benchmark. */
struct accuracy {
    struct mean map, ndcg, precision, recall;
};
void accuracy_add(struct accuracy *accuracy, const bool *hits, size_t listed, size_t relevant, uint32_t k);

enum { FIGURES_MAX = 40, FIGURE_NAME = 40, EVAL_MODELS_MAX = 16, EVAL_K_MAX = 100000 };
struct figure {
    char name[FIGURE_NAME];
    uint64_t over;       /* of so many outcomes */
    double value, error; /* NaN: there is none */
};
struct figures {
    struct figure at[FIGURES_MAX];
    size_t len;
};
__attribute__((format(printf, 3, 4))) void figures_add(struct figures *figures, const struct mean *mean, const char *format, ...);
void figures_add_value(struct figures *figures, const char *name, uint64_t over, double value);
void figures_add_standing(struct figures *figures, const struct standing *standing, uint32_t k, const char *bucket);
void figures_add_errors(struct figures *figures, const struct errors *errors); /* rmse, mae */
/* auc: how often a positive stands above a negative, equal ones half; its error as Hanley and McNeil (1982) have it. log_loss. Sorts. */
void figures_add_labels(struct figures *figures, struct labels *labels);
/* The mean over several runs; the error is then their spread (standard deviation). */
void figures_combine(struct figures *ret, const struct figures *runs, size_t len);

/* ---- protocols ---- */

struct eval {
    const char *path, *test, *said, *format, *negatives, *dump, *protocol, *output, *order_name;
    const char *models[EVAL_MODELS_MAX];
    size_t models_len;
    uint64_t k, every, refresh, sampled, seed, seeds, passes;
    enum eval_order order;
    const struct settings *settings;
    struct names users, items;
    struct eval_log log, tests;
    struct eval_catalogue catalogue;
    uint64_t outcomes; /* ranked events or users, by the last run */
    uint64_t left_out;
    bool undumped; /* the lists could not be written, and it has said so: figures are told all the same */
    struct refusals refusals; /* by the last run */
    size_t rank_from, upto; /* prequential: events [rank_from, upto) are ranked, those from upto on left alone */
    double newness;         /* context: log odds that a line on an item that is new to everybody is a choice */
    bool ratings;           /* prequential: scores predict weights: tell by how much they are off */
    bool no_coverage;       /* prequential: it takes a list for everybody, and nobody asks */
    const char *progress;   /* what the bar of a replay says */
};
bool eval_read_order(struct eval *eval); /* order_name, or what suits the format, into order */
/* One run; figures by model. False: it has said why. */
bool eval_prequential(struct eval *eval, uint64_t seed, struct figures *ret_figures);
bool eval_prequential_has(const struct eval *eval, const char *figure); /* does it tell of that? */
bool eval_split(struct eval *eval, uint64_t seed, struct figures *ret_figures);
bool eval_dump_can(const char *path); /* before a replay; says why not */
bool eval_loo(struct eval *eval, uint64_t seed, struct figures *ret_figures);
bool eval_context(struct eval *eval, uint64_t seed, struct figures *ret_figures);
bool eval_ratings(struct eval *eval, uint64_t seed, struct figures *ret_figures);

/* ---- eval_report.c ---- */

int eval_report(const struct eval *eval, const struct figures *figures); /* the exit status */
struct json_t *json_refusals(const struct refusals *refusals);           /* by bound */

/* ---- tune_space.c: what may be set to what ---- */

/*
 *     sar.window=5..40           a whole number, each as likely          fm.eta=1e-2..1     a tenfold range or more: each ratio
 *     sar.recency=0..1           any number between, six digits          fm.loss=softmax|logistic     one of these
 *
 * Whole is what the configuration's key says it is, however the ends are written.
 */
struct dimension {
    const char *key;     /* "sar.window" */
    const char *choices; /* "a|b|c", or NULL */
    double low, high;
    bool whole, ratio;
};
bool dimension_read(struct dimension *ret, const char *text); /* says what is wrong */
/* "sar.window=17", from a number in [0, 2^64). */
void dimension_pick(const struct dimension *dimension, uint64_t random, char *room, size_t room_len);
/* What is worth varying for a model; NULL at the end. */
const char *dimension_usual(const char *model, size_t index);

/* ---- tune_write.c: where what was found goes ---- */

bool tune_write_is(const char *path, const char *other); /* are both names of one file, which is no device? */
bool tune_write_can(const char *path);                   /* says why not; nothing is left there */
bool tune_write(const char *path, const char *text, size_t len); /* all of it, or none; says why */

#endif
