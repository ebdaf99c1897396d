/*
 * vitals.h -- what is measured of the process, its disk and its store, and the limits they are held against, for /metrics.
 */
#ifndef VITALS_H
#define VITALS_H

#include <stdint.h>

#include "freshet/store.h"

/* `path` is where free space is looked at, this once. */
void vitals_start(const char *path, const char *version, const char *revision, const char *kafka, const char *rocksdb,
                  const char *grpc);
void vitals_stop(void);
/* In bytes, once they are known; 0: off. */
void vitals_limits(uint64_t memory_soft, uint64_t memory_hard, uint64_t disk_reserve);
/* Free space as somebody has found it; UINT64_MAX: he could not tell. Those who show it never look themselves: a disk may hang, and
 * who asks how the daemon is must be answered then of all times. Thread: any */
void vitals_disk(uint64_t free_bytes);
/* Resident memory in bytes, between start and stop; as it was last when it cannot be read, 0 if it never could. Thread: any */
uint64_t vitals_resident(void *unused);
/* The store's own numbers, until vitals_store_stop. */
void vitals_store_start(struct store *store);
void vitals_store_stop(struct store *store);

#endif
