/*
 * dict.h -- ids <-> dense handles, one writer, many readers without locks.
 *
 *     id bytes --XXH3--> [ shard by the top bits ] --> open addressing, slots of { 32 bits of hash, handle }
 *     handle   --> offset into one long run of ids that never moves:  [len u16][bytes] [len u16][bytes] ...
 *
 * A thousand shards, each grown on its own, so that growth never stalls the writer for long: a full shard is copied
 * into a table a third larger, published by pointer, and the old one retired (epoch.h). Within a table a slot goes from
 * empty to taken once, by one atomic store, and perhaps to gone; a reader sees it or does not. Handles are given 0, 1, 2 ... and
 * never twice; ids are compared in full.
 */
#ifndef FR_DICT_H
#define FR_DICT_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/epoch.h"

#define DICT_NONE UINT32_MAX

struct dict;
struct dict *dict_new(uint32_t ids_max, struct fr_epoch *epoch);
void dict_free(struct dict *dict);

uint64_t dict_hash(struct fr_bytes id);
void dict_prefetch(const struct dict *dict, uint64_t hash);
/* DICT_NONE if unknown. Thread: any, inside an epoch */
uint32_t dict_find(const struct dict *dict, struct fr_bytes id, uint64_t hash);
/* A new handle for an id that is not there. DICT_NONE if full. Thread: the writer. */
uint32_t dict_add(struct dict *dict, struct fr_bytes id, uint64_t hash);
/* A handle whose id is not known any more, as after dict_remove. Thread: the writer. */
uint32_t dict_add_gone(struct dict *dict);
/* The id is not found any more, and its bytes are wiped once no reader can look at them; the handle keeps its place, and its id is empty. An id
 * that comes again gets a new handle. Thread: the writer. */
void dict_remove(struct dict *dict, uint32_t handle);
/* Valid within the reader's epoch; empty if it was removed. Thread: any, for a handle it has learned of */
struct fr_bytes dict_id(const struct dict *dict, uint32_t handle);
uint32_t dict_len(const struct dict *dict);   /* handles there are. Thread: any */
bool dict_has_room(const struct dict *dict, uint32_t more); /* for so many more ids, however long they are. Thread: any */
uint32_t dict_known(const struct dict *dict); /* those whose id was not removed. Thread: any */
size_t dict_bytes(const struct dict *dict); /* in use, as allocated. Thread: any */

#endif
