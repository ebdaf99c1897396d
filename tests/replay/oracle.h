/*
 * oracle.h -- what the state must be, counted again from the whole log, slowly and plainly.
 *
 * Nothing here is shared with the product: no deltas, no decayed sums, no handles, no buckets. Every event of a slot is kept and
 * every pair of every history is looked at for every question. The rules are those of the contract and of models.md:
 *
 *     a record counts once, by its offset; a repeated event_id within the window of Kafka time does not count
 *     a user holds at most history_max items; the one with the oldest (last event, order of arrival) leaves
 *     C[i][j] = users who hold i and j, at most `window` arrivals apart         n_i = users who hold i
 *     affinity = sum of w * 2^-((now - t) / half_life)                          now = newest event time applied
 *
 * Not modelled, so walks leave them off: rows cut to neighbours_max; event ids when Kafka time goes back.
 */
#ifndef FR_ORACLE_H
#define FR_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/clock.h"
#include "freshet/sar.h"

enum entry_kind { ENTRY_EVENT, ENTRY_POISON, ENTRY_SKIP, ENTRY_OTHER_LOG, ENTRY_FORGET_EVENT, ENTRY_FORGET_USER };

enum { NAME_MAX_BYTES = 40 };

/* One thing that was given to the engine. */
struct entry {
    enum entry_kind kind;
    int partition;
    int64_t offset; /* SKIP: the next one there is; OTHER_LOG: where it begins */
    when_ms logged; /* Kafka's timestamp */
    char user[NAME_MAX_BYTES], item[NAME_MAX_BYTES], type[NAME_MAX_BYTES], id[NAME_MAX_BYTES]; /* empty: none */
    bool has_value;
    double value; /* FORGET_EVENT: the weight */
    when_ms when; /* 0: `logged` */
    const char *reason; /* POISON */
    bool gone;          /* from Kafka; what was given was given */
};

struct oracle_rules {
    bool parity, normalize;
    enum sar_similarity similarity;
    span_ms half_life, dedup_window, max_future;
    uint32_t threshold, window, score_last, history_max, users_max, items_max, dedup_max;
    double recency;
};

struct oracle_mark { /* one event */
    when_ms when;
    double weight, unit;
};
struct oracle_slot {
    size_t item;
    uint32_t sequence;
    when_ms last;
    int events;
    struct oracle_mark *marks;
    size_t marks_len, marks_cap;
};
struct oracle_user {
    const char *name;
    struct oracle_slot *slots;
    size_t slots_len, slots_cap;
    uint32_t next_sequence;
};
struct oracle_item {
    const char *name;
    when_ms first_seen;
};
struct oracle_letter {
    int partition;
    int64_t offset;
    const char *reason;
};
struct oracle_seen { /* an event id */
    int partition;
    const char *user, *id;
    when_ms logged;
};
enum { ORACLE_PARTITIONS = 8 };
struct oracle {
    struct oracle_rules rules;
    struct oracle_user *users;
    struct oracle_item *items;
    struct oracle_letter *letters;
    struct oracle_seen *seen;
    size_t users_len, users_cap, items_len, items_cap, letters_len, letters_cap, seen_len, seen_cap;
    int64_t next[ORACLE_PARTITIONS]; /* -1: nothing yet */
    const struct entry *last[ORACLE_PARTITIONS]; /* the record applied last */
    uint64_t skipped[ORACLE_PARTITIONS];         /* offsets in holes */
    when_ms now; /* -1: no event yet */
    uint64_t events;
};

/* Borrows the entries' strings. */
struct oracle *oracle_new(const struct oracle_rules *rules, const struct entry *const *entries, size_t len);
void oracle_free(struct oracle *oracle);

const struct oracle_user *oracle_user(const struct oracle *oracle, const char *name); /* NULL: unknown */
const struct oracle_item *oracle_item(const struct oracle *oracle, const char *name);
const struct oracle_slot *oracle_slot(const struct oracle_user *user, size_t item); /* NULL: not held */
double oracle_affinity(const struct oracle *oracle, const struct oracle_slot *slot, bool unit); /* as of now */
uint32_t oracle_holders(const struct oracle *oracle, size_t item);
uint32_t oracle_together(const struct oracle *oracle, size_t a, size_t b); /* a == b: 0 */
uint64_t oracle_pairs(const struct oracle *oracle); /* directed */
/* Similarity; *ret_evidence false: the two have nothing in common. */
double oracle_similarity(const struct oracle *oracle, size_t a, size_t b, bool *ret_evidence);
/* The user's score of the item; *ret_size: the sum of its absolute terms, the scale of its error. */
double oracle_score(const struct oracle *oracle, const struct oracle_user *user, size_t item, bool *ret_evidence,
                    double *ret_size);

#endif
