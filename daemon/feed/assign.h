/*
 * assign.h -- which partitions there are, where each stands, and where the consumer shall go on.
 *
 *     (unknown) --metadata--> WAITING --rd_kafka_assign--> RUNNING --offset gone--> HALTED_GAP | HALTED_TRUNCATED
 *                              ^   ^                        |  |
 *                              |   '--- skipped the gap, ---'  '--another record at `last`--> HALTED_OTHER_LOG
 *                              |   topic gone, a batch damaged
 *                              |                               '--too much poison, a batch that cannot be read--> HALTED_POISON
 *                              '--- the old cluster again --- HALTED_OTHER_CLUSTER <--another cluster id-- any of these
 *                              '--- an operator says where (resets.c) --- any other that is halted
 *
 * Invariant: all records of a partition below `next` have been given to the engine, or are lost to it, and none from `next` on.
 * Thread: feed.
 */
#ifndef FR_ASSIGN_H
#define FR_ASSIGN_H

#include <librdkafka/rdkafka.h>

#include "breaker.h"
#include "freshet/feed.h"
#include "freshet/metric.h"

enum { TURN_LOW, TURN_END, TURNS }; /* for its oldest offset; for its end, where nothing is fetched that tells it */

struct assigned {
    uint32_t index; /* the engine's */
    enum partition_state state;
    int64_t next;  /* -1: the log's beginning, wherever that is */
    int64_t end;   /* -1: unknown */
    int64_t last;  /* offset of the last record given; -1: unknown, or Kafka has deleted it */
    uint64_t print; /* and its fingerprint */
    bool check;    /* reading goes on at `last`, and the log has yet to prove that it is the one we know */
    bool tell;     /* `next` was chosen, not reached by records: the engine shall note it */
    bool hole;     /* and what lies before it is lost */
    int64_t anew;  /* with tell: another log begins here, whatever was read before; -1: it is the same */
    bool lost;     /* Kafka does not have `next` */
    bool garbled;  /* a batch came damaged, and nothing has been read since: once more, and it is so in Kafka */
    bool spoke;    /* gave a record, or said that there is none, since quiet_heard */
    uint64_t spoke_ns;    /* when it last did, or was last given the time to */
    uint64_t asked_ns;    /* when its end was asked for, because it was quiet or lost */
    unsigned patience_ms; /* so long may it say nothing */
    int64_t owed;  /* the end that Kafka tells of, not reached although nothing else was there to take; -1: none since it spoke */
    bool mute;     /* says nothing since it was assigned */
    bool alone;    /* the last answer did not come: asked for without others, which may be another broker's */
    struct turn {
        uint64_t due_ns;  /* when it is asked again, */
        unsigned rest_ms; /* and how long after an answer that did not come; 0: the last one came */
    } turns[TURNS];       /* lows.c */
    bool touched;  /* since the last report */
    uint64_t read; /* records since the last report, not yet counted */
    struct breaker *breaker;
    struct fr_series *consumed;
};

struct assignment {
    const struct feed_options *options;
    struct engine *engine;
    rd_kafka_t *consumer;
    rd_kafka_topic_t *topic;
    struct assigned *partitions; /* by number */
    size_t len, cap;
    size_t count;     /* partitions the topic has; 0: there is no topic, or nobody said yet */
    bool stale;       /* the consumer does not yet have what stands here */
    bool suspect;     /* what there is may be another log: when Kafka has said what there is, it is assigned anew */
    bool missing;     /* said that there is no such topic */
    bool full;        /* said that there are too many partitions */
    bool refused;     /* said that Kafka refuses to describe the topic */
    bool denied;      /* the last answer was that we may not know */
    bool foreign;     /* the brokers belong to another cluster: nothing is read */
    bool standing;    /* nobody polls: ingest stands still, or the engine is behind */
    uint64_t look_ns; /* when to ask for metadata again */
    int32_t *leaders;   /* by number: the broker that has the partition, as Kafka last told; -1: none */
    size_t leaders_len;
    uint64_t alone_ns; /* and for the end of one that is asked for alone */
    uint64_t lost_ns; /* and for what Kafka holds of those that are lost */
    unsigned wait_ms; /* while there is no topic */
    bool asked;       /* the last refresh asked for metadata, */
    bool answered;    /* and Kafka answered */
    bool told;        /* the engine: how many partitions there are, or that there is no such topic */
    size_t told_count;
    bool resetting;   /* an operator's word is taken, and the engine not yet told */
    struct reset_outcome outcome; /* of that */
};

enum { ASSIGN_QUERY_MS = 3000, SILENCE_MAX_MS = 3600000 };

void assignment_init(struct assignment *assignment, const struct feed_options *options, struct engine *engine);
void assignment_release(struct assignment *assignment);
/* A new consumer has nothing assigned; NULL before it is destroyed. Positions stay. */
void assignment_attach(struct assignment *assignment, rd_kafka_t *consumer);
/* When it is time: asks for metadata, takes up new partitions, settles lost ones, and makes the assignment anew if
 * needed. */
void assignment_refresh(struct assignment *assignment, uint64_t now_ns);
/* NULL: not one of ours, or halted. */
struct assigned *assignment_at(struct assignment *assignment, int32_t number);
/* Shall this record be given? Not if it was given before, nor if it proves that this is another log; then the partition is
 * halted. */
bool assignment_wants(struct assignment *assignment, int32_t number, int64_t offset, uint64_t print);
/* Whatever we hear next may be another log: it must prove itself again. */
void assignment_doubt(struct assignment *assignment);
/* Notes if the record just given was poison; too much of it halts the partition behind it. */
void assignment_tastes(struct assignment *assignment, int32_t number, bool poison);
/* What comes next is in the batch at `offset`, which cannot be unpacked, now or ever: halts the partition before it. If it is not what comes
 * next, but what the log should prove itself by, that is done without. */
void assignment_unreadable(struct assignment *assignment, int32_t number, int64_t offset, const char *problem);
/* The same of a batch that came damaged, perhaps on its way: it is fetched once more before. Whatever librdkafka gives behind it is dropped. */
void assignment_garbled(struct assignment *assignment, int32_t number, int64_t offset, const char *problem);
/* Kafka no longer, or not yet, has the offset we want: settled at the next refresh. */
void assignment_lost(struct assignment *assignment, int32_t number);
/* The EVENT_POSITIONs, EVENT_HOLEs and EVENT_OTHER_LOGs of what was chosen since the last call; false: not all of them had room, and before
 * they are told no record of theirs may be given. */
bool assignment_tell(struct assignment *assignment, struct event_batch *batch);
/* Tells the engine of those touched since the last report, or of all. */
void assignment_report(struct assignment *assignment, bool all);
/* resets.c: reads a halted partition on from where an operator says. FR_OK: the engine is told by the next assignment_tell. FR_CONFIG and
 * FR_NOT_FOUND: nothing is done, and why; FR_IO: Kafka does not say what there is. */
int assignment_reset(struct assignment *assignment, const struct reset *reset, struct reset_outcome *ret, struct fr_err *err);
/* lows.c: when it is time, asks Kafka for the oldest offsets it holds, and tells the engine, also that the ends still stand. */
void assignment_lows(struct assignment *assignment, uint64_t now_ns);
/* Likewise for the ends of the logs that are halted; `standing`, nobody polls: of all. */
void assignment_ends(struct assignment *assignment, uint64_t now_ns, bool standing);
/* It is time for both. */
void assignment_ask_now(struct assignment *assignment);
/* Asks Kafka: is there more than we were given? */
bool assignment_behind(struct assignment *assignment);

/* ---- lows.c: what does Kafka hold? ---------------------------------------------------------------------------------- */

struct bounds {
    int32_t number;          /* of the partition */
    int64_t low, high;       /* it has the offsets [low, high), */
    rd_kafka_resp_err_t err; /* but if this says why nobody knows */
};

/* One answer for all of them, within twice ASSIGN_QUERY_MS. Else its error: nothing is known of any, perhaps for one of them alone. */
rd_kafka_resp_err_t assignment_bounds(struct assignment *assignment, struct bounds *bounds, size_t len);

/* ---- quiet.c: a partition that is asleep while others speak ---------------------------------------------------------- */

/* After each round in which was polled. */
void quiet_heard(struct assignment *assignment, uint64_t now_ns);
/* They had no chance to speak until now. */
void quiet_excused(struct assignment *assignment, uint64_t now_ns);
/* They are read anew: who speaks will soon do so. */
void quiet_assigned(struct assignment *assignment, uint64_t now_ns);
/* When a partition has said nothing for long, asks Kafka for its end. True: *ret_number had more, when it was asked the last time, and has
 * said nothing since. Only when all that was fetched has been taken. */
bool quiet_asleep(struct assignment *assignment, uint64_t now_ns, size_t *ret_number);

/* ---- between assign.c and verdict.c -------------------------------------------------------------------------------- */

/* The next partition, number == len; false if the engine has no room for it. */
bool assignment_take_up(struct assignment *assignment, size_t number);
bool assigned_is_read(const struct assigned *assigned); /* waiting or running */
void verdict_cluster(struct assignment *assignment);    /* whose brokers are these? After they have answered */
bool verdict_lost(struct assignment *assignment);       /* of all that is lost; false: of some it is not known yet */

#endif
