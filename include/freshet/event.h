/*
 * event.h -- what happened: one Kafka record, checked and decoded, on its way from feed to engine.
 *
 * feed fills a batch, the engine empties it; a batch owns the bytes its events point to.
 *
 *     batch.events  [ apply | apply | reject | apply | position ]
 *                       |       \________________
 *     batch.arena   [ user id, item id ][ ids ][ key, value, reason ] ...
 */
#ifndef FR_EVENT_H
#define FR_EVENT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "freshet/alloc.h"
#include "freshet/bytes.h"
#include "freshet/clock.h"

enum event_kind {
    EVENT_APPLY,    /* learn it */
    EVENT_REJECT,   /* a poisoned record: goes to the dead-letter topic, the offset moves on */
    EVENT_POSITION, /* no record: offsets below `offset` hold nothing more (end of log, control records) */
    EVENT_ITEM,      /* of the compacted topics: what `said` holds of `item` takes the place of what was said before */
    EVENT_ITEM_GONE, /* nothing is said of `item` any more: it leaves the catalogue */
    EVENT_USER,      /* the same of `user` */
    EVENT_USER_GONE, /* `user` is forgotten */
    EVENT_HOLE,     /* no record: Kafka has deleted all that was not yet applied below `offset`; recorded as a hole */
    EVENT_OTHER_LOG, /* no record: what is read from `offset` on, which may lie before what was applied, is of another log than what was; what
                      * was learned stays, and the last record and the holes of the log before are those of no log any more */
};

/* Times of events and records lie in [0, EVENT_WHEN_MAX]: 44 bits of milliseconds, the year 2527. */
#define EVENT_WHEN_MAX ((when_ms)((1ULL << 44) - 1))

#define EVENT_WEIGHT_MAX 1e6
/* What an event weighs whose type weighs `of_type`; `value` is its value, 1 if it has none. False: it must not be applied, since the value is
 * not finite, whether the type uses it or not, or the weight beyond EVENT_WEIGHT_MAX. */
static inline bool event_weigh(double of_type, bool use_value, double value, double *ret_weight)
{
    *ret_weight = use_value ? of_type * value : of_type;
    return isfinite(value) && fabs(*ret_weight) <= EVENT_WEIGHT_MAX;
}

/* A record that could not be applied, as it came. Lives in the batch's arena. */
struct reject {
    struct fr_bytes key, value;
    bool has_key, has_value; /* a null is not an empty run */
    when_ms logged;          /* its Kafka timestamp whatever it says, in bounds or not; -1: it has none */
    const char *reason;      /* literal, a metric label: "undecodable", "user_id", "item_id", "key", "bounds", "value", "time", "null", "capacity", "crash" */
    struct fr_bytes message; /* for people: names the field and the limit */
};

struct event {
    enum event_kind kind;
    uint32_t partition; /* the engine's index of the topic partition */
    int64_t offset;     /* of the record; where there is none, the next to come */
    when_ms logged;     /* the record's Kafka timestamp; -1 when it has none that is in bounds */
    uint64_t print;     /* the record's fingerprint, by which its log is told from another */

    /* EVENT_APPLY; of the compacted topics one of the two */
    struct fr_bytes user, item; /* 1..256 bytes of UTF-8 without NUL */

    /* EVENT_ITEM, EVENT_USER */
    struct fr_bytes said; /* in the form of catalogue.h, within its bounds */

    /* EVENT_APPLY */
    when_ms when;               /* event time, 0..EVENT_WHEN_MAX */
    double weight;              /* finite, |weight| <= EVENT_WEIGHT_MAX */
    uint32_t type;              /* index into the configured types; the last one is "other" */
    uint32_t repeat_low;        /* 96-bit hash of (user_id, event_id); all zero: no event_id */
    uint64_t repeat_high;
    const uint64_t *context;    /* features that came with it (feature.h), in the record's order; none: NULL */
    uint32_t context_len;       /* at most FEATURES_MAX */

    /* EVENT_REJECT; all other records that are asked for (engine_batch_wants_record) */
    const struct reject *reject;
};

enum { TOPIC_BYTES_MAX = 249 }; /* Kafka's */

/* Where a null value under an id was written, so that the id is forgotten. It outlives the feed, as who waits for it does. */
struct tombstone {
    char topic[TOPIC_BYTES_MAX + 1];
    int32_t partition;
    int64_t offset;
    when_ms logged; /* its Kafka time: once it is applied the cut-off is no less; -1: it has none */
};

/* Where a halted partition is to be read on, as an operator says. */
enum reset_to { RESET_TO_OFFSET, RESET_TO_EARLIEST, RESET_TO_END };
struct reset {
    struct fr_bytes topic; /* empty: that of events */
    int32_t partition;
    int64_t applied; /* where it stands, as far as the operator knows; if it stands elsewhere, nothing is done */
    enum reset_to to;
    int64_t offset; /* RESET_TO_OFFSET */
    bool new_log;   /* nothing in this log was learned before: it is another one under the same name */
};
struct reset_outcome { /* outlives the feed as well */
    char topic[TOPIC_BYTES_MAX + 1];
    int32_t partition;
    int64_t from, to;  /* the next offset to be applied, before and after */
    int64_t end;       /* of the log */
    int64_t skipped;   /* offsets in it that are not read; records at most */
    bool other_log;    /* what was learned before is of another log, or of more of it than there is now */
};

enum { EVENT_BATCH_MAX = 1024 };

struct event_batch {
    struct event events[EVENT_BATCH_MAX];
    uint32_t len;
    /* Set by the engine. Whole: every event carries its record in `reject` (without a reason). Bare: one at least does not. */
    bool whole, bare;
    uint32_t applied; /* the engine's own: so many of the events are, while it is at the batch */
    struct fr_arena arena;
};

#endif
