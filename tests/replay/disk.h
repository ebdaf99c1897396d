/*
 * disk.h -- a store that outlives the processes that use it, fails when told to, and forgets what was not synced when the
 * power is cut.
 *
 *     engine ---> [ plugged in ] ---> the store (memory.c or RocksDB)
 *     engine --x  [ pulled     ]      what a killed process still does reaches nothing
 *
 * Thread: as store.h.
 */
#ifndef FR_DISK_H
#define FR_DISK_H

#include <stdbool.h>

#include "freshet/store.h"

struct disk;
/* On RocksDB in this folder; in memory if NULL. */
struct disk *disk_new(const char *folder);
void disk_free(struct disk *disk);
/* What a new process opens. The one before must have stopped, or been pulled. The caller closes it. */
struct store *disk_plug_in(struct disk *disk, struct fr_err *err);
/* From now on writes and syncs of the store plugged in say that they worked, and change nothing: the process is dead, it only
 * does not know. */
void disk_pull(struct disk *disk);
/* What was not synced is gone. In memory only. The disk must be pulled, or its store closed. */
void disk_power_cut(struct disk *disk);

enum disk_call { DISK_WRITE, DISK_SYNC, DISK_CALLS };
/* The n-th call from now (1 = next) and `times` - 1 after it fail, unless the process ends before. `takes`: a write that fails has
 * taken effect all the same. */
void disk_fail(struct disk *disk, enum disk_call call, int nth, int times, enum fr_status code, bool takes);
bool disk_failing(const struct disk *disk); /* faults are still to come */

#endif
