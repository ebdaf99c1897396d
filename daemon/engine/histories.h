/*
 * histories.h -- what each user has touched: one bounded history per user, one writer, many readers.
 *
 *     user h   { block*, len, cap, next_sequence, version, events, last }    40 bytes, in an array that never moves
 *                  |
 *                  v    parallel runs of `cap`, 22 bytes per slot (30 with units):
 *             [ stamp u64 ... ][ affinity f64 ... ][ unit f64 ... ][ item u32 ... ][ step u16 ... ]
 *
 * `events` and `last` are of all that was applied, and stay as they are when a slot leaves; what is held is told by the slots' stamps.
 * Slots stand in order of arrival; one that leaves closes the gap. Readers copy a whole history under the version (odd
 * while it changes), loading with acquire what the writer stores with release.
 *
 * A slot's sequence number is next_sequence less the steps from it on (model.h). On disk each slot has its number, and
 * only what changes is written anew; so whatever gives a slot another number says so, and the caller saves it:
 *
 *     step[i - 1] + step[i] > HISTORY_STEP_MAX when slot i leaves:     step[i - 1] = HISTORY_STEP_FAR
 *     next_sequence, and so the number of each slot behind it,         get smaller by what that leaves out
 *
 * It takes 32,768 arrivals of one user to get there again, so this costs next to nothing.
 */
#ifndef FR_HISTORIES_H
#define FR_HISTORIES_H

#include <stdbool.h>

#include "freshet/model.h"

struct histories;
struct histories_options {
    uint32_t users_max;
    bool units;         /* keep unit affinities */
    span_ms half_life;  /* of affinity; 0 = none */
};
struct histories *histories_new(const struct histories_options *options, struct fr_epoch *epoch);
void histories_free(struct histories *histories); /* after fr_epoch_free, whose leavings return here */
void histories_extend(struct histories *histories, uint32_t users); /* users [0, users) exist. Thread: the writer */

/* ---- the writer ---- */
void histories_prefetch(const struct histories *histories, uint32_t user, int stage); /* 0: header, 1: block */
struct history histories_view(const struct histories *histories, uint32_t user);      /* live; until the next change */
uint32_t histories_find(const struct histories *histories, uint32_t user, uint32_t item); /* slot, or UINT32_MAX */
uint64_t histories_events(const struct histories *histories, uint32_t user); /* applied since the user came, on items that have left too */
uint32_t histories_next_sequence(const struct histories *histories, uint32_t user);
/*
 * Adds an event to slot `at` (UINT32_MAX: a new slot at the end with the next sequence number) by the lazy rule of
 * algorithms.md 1.2: affinity is kept as of the newest event of the slot; an older event is discounted, never refused.
 * Counts the event and the user's newest event time. Returns the slot. A new slot needs next_sequence < UINT32_MAX.
 */
uint32_t histories_touch(struct histories *histories, uint32_t user, uint32_t at, uint32_t item, when_ms when,
                         double weight);
/* The slot that is oldest by (last event time, arrival). len > 0. */
uint32_t histories_oldest(const struct histories *histories, uint32_t user);
/* True: the slots from `at` on have got other sequence numbers; save them, and the head. */
bool histories_drop(struct histories *histories, uint32_t user, uint32_t at);
/* Takes one event back from slot `at` and from the user's count; true if it was the slot's last one (the slot is still
 * there: drop it). The slot keeps its place: neither its last event time nor the user's is turned back. */
bool histories_untouch(struct histories *histories, uint32_t user, uint32_t at, when_ms when, double weight);
/* Empties the history, events = 0, last = 0. Sequence numbers go on. */
void histories_wipe(struct histories *histories, uint32_t user);

/* On disk: one cell per slot and one for the header (TABLE_HISTORY, storage/FORMAT.md). */
enum { HISTORY_SLOT_BYTES = 28, HISTORY_HEAD_BYTES = 20 };
void histories_slot_bytes(const struct histories *histories, uint32_t user, uint32_t at, char *room, size_t *ret_len);
void histories_head_bytes(const struct histories *histories, uint32_t user, char *room, size_t *ret_len);
/*
 * Loading: items ascending, sequences in any order. HISTORY_BAD, and nothing changed, if the bytes cannot be ours
 * (length, time, sequence, not finite, repeated or unsorted, a user beyond histories_extend or loaded before). Whether
 * the items exist is the caller's to check. HISTORY_RENUMBERED: loaded, but slots were further apart than a step can
 * say; they have got other sequence numbers, and all are to be saved before any of them is.
 */
enum history_loaded { HISTORY_BAD, HISTORY_LOADED, HISTORY_RENUMBERED };
enum history_loaded histories_load(struct histories *histories, uint32_t user, struct fr_bytes head,
                                   const uint32_t *items, const struct fr_bytes *slots, size_t len);

/* ---- any thread, inside an epoch ---- */
struct history_copy {
    struct history view;  /* into the room below */
    void *room;
    size_t room_bytes;
};
void history_copy_release(struct history_copy *copy);
/* Whole, as of one moment. A zeroed struct is an empty copy; it is used again and again, its room kept. */
void histories_copy(const struct histories *histories, uint32_t user, struct history_copy *copy);

uint64_t histories_slots(const struct histories *histories); /* Thread: any */
size_t histories_bytes(const struct histories *histories);   /* Thread: any */

#endif
