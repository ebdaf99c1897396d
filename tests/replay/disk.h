/*
 * disk.h -- a store that outlives the processes that use it, fails when told to, and forgets what was not synced when the
 * power is cut.
 *
 *     process 1 ---> store ---> process 2 ---> store x crash      process 2, dead, goes on with the old one until its memory
 *                                                 \               is given back; nothing of that is seen again
 *                                                  '--> copy ---> process 3
 *
 * The store is storage/memory.c or RocksDB; only its write and sync are watched, in a table of operations of our own.
 * One disk at a time. Thread: as store.h.
 */
#ifndef FR_DISK_H
#define FR_DISK_H

#include <stdbool.h>

#include "freshet/store.h"

struct disk;
/* On RocksDB in FOLDER.0, after a crash FOLDER.1 ...; in memory if NULL. */
struct disk *disk_new(const char *folder);
void disk_free(struct disk *disk);
/* For a new process; NULL if it cannot be opened. */
struct store *disk_open(struct disk *disk, struct fr_err *err);
void disk_close(struct disk *disk); /* the process has ended well */
/* What the next process will find is what there is now, without what was not synced if the power is cut (in memory only). Returns
 * the store that the dead one still has: close it when its engine is freed. */
struct store *disk_crash(struct disk *disk, bool power_cut);

enum disk_call { DISK_WRITE, DISK_SYNC, DISK_CALLS };
/* The n-th call from now (1 = next) and `times` - 1 after it fail, unless the process ends before. `takes`: a write that fails
 * has taken effect all the same. */
void disk_fail(struct disk *disk, enum disk_call call, int nth, int times, enum fr_status code, bool takes);

#endif
