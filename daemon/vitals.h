/*
 * vitals.h -- what is measured of the process, its disk and its store, for /metrics.
 */
#ifndef VITALS_H
#define VITALS_H

#include <stdint.h>

#include "freshet/store.h"

/* `path` is where free space is looked at; borrowed until vitals_stop. */
void vitals_start(const char *path, const char *version, const char *revision, const char *kafka, const char *rocksdb,
                  const char *grpc);
void vitals_stop(void);
uint64_t vitals_resident(void *unused); /* resident memory in bytes; 0 when the system does not tell. Thread: any */
/* The store's own numbers, until vitals_store_stop. */
void vitals_store_start(struct store *store);
void vitals_store_stop(struct store *store);

#endif
