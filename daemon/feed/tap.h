/*
 * tap.h -- one topic's consumer, between kafka.c (its thread), take.c (what it gives) and consumer.c (its life).
 *
 * Thread: the topic's.
 */
#ifndef FR_TAP_H
#define FR_TAP_H

#include <stdatomic.h>

#include "assign.h"
#include "decode.h"
#include "ending.h"
#include "resets.h"
#include "settings.h"

enum { POLL_TIMEOUT_MS = 100 };

/* One topic's consumer. All of it is its thread's, but for `stopping`. */
struct tap {
    struct feed_options options; /* the feed's, with this topic and kind */
    struct engine *engine;
    const _Atomic bool *stopping;
    struct fr_thread *thread;

    struct client client;
    rd_kafka_t *consumer; /* NULL only while `broken` */
    struct assignment assignment;
    struct decoder *decoder;
    struct fr_series *misrouted, *rebuilt_silent, *rebuilt_broken;
    bool broken;          /* throw the consumer away */
    bool drained;         /* all that was fetched has been taken, in the last round */
    bool heard;           /* records or ends of logs since heard_ns was set */
    uint64_t heard_ns;    /* when we last heard something */
    uint64_t reported_ns; /* when all partitions were last reported */
    uint64_t rebuild_ns;  /* not before */
    unsigned silence_ms;  /* how long may it be silent before we ask */
    /* What is said of items and users comes before events: a replay would otherwise learn events of after a tombstone, and then forget them. */
    _Atomic unsigned *behind; /* topics whose end, as first seen, is not reached; the feed's */
    bool settled;             /* this one is not, or not any more, among them */
    uint64_t answered_ns;     /* when Kafka first told what there is; 0: not yet */
    struct resets *resets;    /* the feed's */
};

/* take.c: waits for one message, then takes what is there without waiting. */
void tap_fill(struct tap *tap, struct event_batch *batch);

/* take.c: while nothing is assigned, hears what there is to hear of brokers. */
void tap_idle(struct tap *tap);

/* consumer.c: throws it away (NULL: there is none), and makes another when it is time; false: not now. */
struct ending *tap_let_go(struct tap *tap);
void tap_attach(struct tap *tap); /* the one just made */
bool tap_rebuild(struct tap *tap, uint64_t now_ns);
/* After each round: has it heard anything? If not for long, and the log goes on, it is thrown away in the next. */
void tap_listen(struct tap *tap, uint64_t now_ns);

#endif
