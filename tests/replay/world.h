/*
 * world.h -- the real engine with a log, a clock and a disk that a script controls.
 *
 *     script ---> log (what Kafka holds) ---> feed: the real decoder ---> batch ---> engine ---> disk
 *                     |                                                   |
 *                     '------------- what was given, in order ------------'---> oracle
 *
 * The feed here stands for daemon/feed without Kafka: it begins at the position the store holds, steps over records that are
 * gone or halts there, and hands dead letters on. After a crash the list of what was given is cut back to the positions the
 * store has kept, for nothing else has happened in the surviving state.
 *
 * All functions say false with world->problem set when something is not as it must be.
 * Thread: the one that called sim_begin.
 */
#ifndef FR_WORLD_H
#define FR_WORLD_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "disk.h"
#include "engine_private.h"
#include "oracle.h"
#include "sim.h"

enum { PARTITIONS_USED = ORACLE_PARTITIONS };
/* Times of a script are counted from here (2024-10-04), so that they are readable and yet none is before 1970. */
#define WORLD_ZERO ((when_ms)20000 * 86400000)

struct log_part {
    bool known, halted, recreated;
    enum partition_state why; /* it is halted */
    uint32_t index;  /* the engine's */
    int64_t first;   /* records before it are gone from Kafka */
    int64_t end;     /* offset of the next record to come */
    int64_t cursor;  /* next to be given; -1: from the beginning */
    int64_t claimed; /* the highest durable position ever reported, of this log; */
    int64_t before;  /* of those before a reset */
};

struct received {
    int partition;
    int64_t offset;
    char reason[16];
};

struct world {
    /* settings, taken at the next start */
    struct oracle_rules rules;
    bool skip_gaps, by_hand, automatic;
    uint32_t outbox_mb_max, evaluate_every;
    char shape[400];

    struct disk *disk;
    bool on_rocks;
    struct engine *engine; /* NULL: no process */
    struct reader *reader;
    struct decoder *decoder;
    bool feed_stopped, saved;
    struct fr_err refused; /* why the last start was refused; code 0: it was not */

    when_ms clock;
    int partition; /* where events go */
    struct entry **log;
    size_t log_len, log_cap;
    const struct entry **given;
    size_t given_len, given_cap, given_kept; /* these first ones are durable, wherever positions went afterwards */
    struct log_part parts[PARTITIONS_USED];
    struct received *received;
    size_t received_len, received_cap;
    char problem[2000];
};

__attribute__((format(printf, 2, 3))) bool world_fails(struct world *world, const char *format, ...);

struct world *world_new(const char *rocks_folder); /* NULL: a store in memory */
void world_free(struct world *world);

/* The log. The entry is copied; partition, offset and Kafka time are filled in. */
struct entry *world_append(struct world *world, const struct entry *entry);

/* The topic is deleted and made again, empty. */
void world_recreate(struct world *world, int partition);
/* records.c: as a record of Kafka, which borrows from the entry and from `bytes`; and its fingerprint. */
void world_record(const struct entry *entry, struct fr_writer *bytes, struct record *ret_record);
uint64_t world_print(const struct entry *entry);

/* A halted partition is read on at `to`; durable when it returns. What Admin.ResetPartition refuses changes nothing. */
bool world_reset(struct world *world, int partition, int64_t to, bool new_log);

/* Processes. */
bool world_start(struct world *world); /* a refused start is no problem, but world->refused */
/* After the first start in this process, before it feeds: what stands below the store's positions was given by others. */
void world_inherit(struct world *world);
bool world_stop(struct world *world); /* as SIGTERM */
bool world_crash(struct world *world, bool power_cut);

/* Feeding. */
size_t world_feed(struct world *world, size_t most);                /* one batch; how many were given */
bool world_feed_again(struct world *world, int partition, int64_t from); /* the broker gives them twice */
bool world_catch_up(struct world *world);                           /* everything there is, applied */
void world_forget(struct world *world, const struct entry *entry);  /* what Admin will do: not in the log */

bool world_checkpoint(struct world *world); /* written and synced */
bool world_write(struct world *world);      /* written, as far as the disk allows at once */
bool world_sync(struct world *world);       /* what is written, synced, as it would be by itself */
/* Kafka takes, refuses, or takes without our learning of it, all dead letters that may leave. */
enum delivery { DELIVERED, DELIVERY_REFUSED, DELIVERY_UNKNOWN };
bool world_deliver(struct world *world, enum delivery how);

/* verify.c: every answer and every count against the oracle. */
bool world_equals_oracle(struct world *world);

#endif
