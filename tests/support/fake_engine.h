/*
 * fake_engine.h -- an engine that learns nothing: the feed functions of engine.h under the same names, so that feed
 * can be linked against it and told what the store knows. It notes every event, sends every reject to the outbox at
 * once, and fails the test when a partition's records go backwards.
 *
 * Tests wait for a condition under the lock, never for a time: fake_engine_wait.
 */
#ifndef FR_FAKE_ENGINE_H
#define FR_FAKE_ENGINE_H

#include <pthread.h>
#include <stdbool.h>

#include "freshet/engine.h"

enum { FAKE_PARTITIONS_MAX = 64, FAKE_BATCHES = 4 };

struct fake_event {
    enum event_kind kind;
    int32_t number; /* of the partition */
    int64_t offset;
    when_ms logged, when;
    double weight;
    uint64_t context; /* the first key; 0: there is none */
    size_t said_len;
    char user[260], item[260], reason[24], message[260];
};

struct fake_partition {
    char topic[64];
    int32_t number;
    int64_t known; /* what the store says */
    int64_t next;  /* what was given reaches to here */
    enum partition_state state;
    int64_t end, low;
    unsigned heard; /* how often its end was confirmed */
    int64_t last; /* the last record given, and its fingerprint; -1: none */
    uint64_t print;
    unsigned holes;
    int64_t skipped; /* offsets in them */
    uint64_t applied, rejected;
};

struct fake_letter {
    struct dead_letter letter;
    bool taken, done;
    unsigned times; /* taken */
};

struct engine {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_partition partitions[FAKE_PARTITIONS_MAX];
    size_t partitions_len;
    bool held;          /* behind: there is no empty batch */
    bool letters_held;  /* none is ready */
    bool forget_events; /* count only */
    struct fake_event *events;
    size_t events_len, events_cap;
    uint64_t applied, rejected, takes;
    size_t arena_max; /* bytes in the largest batch's arena */
    struct event_batch *batches[FAKE_BATCHES];
    size_t batches_len;
    char cluster[CLUSTER_BYTES_MAX + 1];
    unsigned topics_awaited, topics_told;
    struct fake_letter **letters;
    size_t letters_len, letters_cap, letters_done;
};

struct engine *fake_engine_new(void);
void fake_engine_free(struct engine *engine);
/* The store knows that everything before `next` has been applied. Before feed starts. */
void fake_engine_know(struct engine *engine, const char *topic, int32_t number, int64_t next);
/* What was given is what the store knows at the next start; of each partition's state and end nothing is known then.
 * Between feed_stop and feed_start. */
void fake_engine_restart(struct engine *engine);
void fake_engine_hold(struct engine *engine, bool held);
void fake_engine_hold_letters(struct engine *engine, bool held);
/* Waits until `ready` says so (it is called under the lock); false after two minutes, which is met only by failing. */
bool fake_engine_wait(struct engine *engine, bool (*ready)(const struct engine *engine, const void *want),
                      const void *want);
/* Without the lock: for what feed does not change any more. */
const struct fake_partition *fake_engine_partition(const struct engine *engine, int32_t number);
/* Of one topic among several; NULL: of any. */
const struct fake_partition *fake_engine_partition_of(const struct engine *engine, const char *topic, int32_t number);

#endif
