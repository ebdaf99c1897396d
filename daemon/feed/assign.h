/*
 * assign.h -- which partitions there are, where each stands, and where the consumer shall go on.
 *
 *     (unknown) --metadata--> WAITING --rd_kafka_assign--> RUNNING --offset gone--> HALTED_GAP | HALTED_TRUNCATED
 *                                ^                            |
 *                                '------ skipped the gap -----'
 *
 * Invariant: all records of a partition below `next` have been given to the engine, and none from `next` on.
 * Thread: feed.
 */
#ifndef FR_ASSIGN_H
#define FR_ASSIGN_H

#include <librdkafka/rdkafka.h>

#include "freshet/feed.h"
#include "freshet/metric.h"

struct assigned {
    uint32_t index; /* the engine's */
    enum partition_state state;
    int64_t next;  /* -1: the log's beginning, wherever that is */
    int64_t end;   /* -1: unknown */
    bool tell;     /* `next` was chosen, not reached by records: the engine shall note it */
    bool lost;     /* Kafka does not have `next` */
    bool touched;  /* since the last report */
    uint64_t read; /* records since the last report, not yet counted */
    struct fr_series *consumed;
};

struct assignment {
    const struct feed_options *options;
    struct engine *engine;
    rd_kafka_t *consumer;
    rd_kafka_topic_t *topic;
    struct assigned *partitions; /* by number */
    size_t len, cap;
    bool stale;       /* the consumer does not yet have what stands here */
    bool missing;     /* said that there is no such topic */
    bool full;        /* said that there are too many partitions */
    bool refused;     /* said that Kafka refuses to describe the topic */
    uint64_t look_ns; /* when to ask for metadata again */
    unsigned wait_ms; /* while there is no topic */
    bool answered;    /* the last refresh asked for metadata, and Kafka answered */
};

void assignment_init(struct assignment *assignment, const struct feed_options *options, struct engine *engine);
void assignment_release(struct assignment *assignment);
/* A new consumer has nothing assigned; NULL before it is destroyed. Positions stay. */
void assignment_attach(struct assignment *assignment, rd_kafka_t *consumer);
/* When it is time: asks for metadata, takes up new partitions, settles lost ones, and makes the assignment anew if
 * needed. */
void assignment_refresh(struct assignment *assignment, uint64_t now_ns);
/* NULL: not one of ours, or halted. */
struct assigned *assignment_at(struct assignment *assignment, int32_t number);
/* Kafka no longer, or not yet, has the offset we want: settled at the next refresh. */
void assignment_lost(struct assignment *assignment, int32_t number);
/* The EVENT_POSITIONs of what was chosen since the last call. */
void assignment_tell(struct assignment *assignment, struct event_batch *batch);
/* Tells the engine of those touched since the last report, or of all. */
void assignment_report(struct assignment *assignment, bool all);
/* Asks Kafka: is there more than we were given? */
bool assignment_behind(struct assignment *assignment);

#endif
