/*
 * disk.h -- the data directory's disk: how much is free, how much must stay free, and the ballast for when nothing is.
 *
 *     |<---------------- file system ---------------->|
 *     | used ................... | ballast | free      |      the ballast is a file of ours that holds nothing: on a full disk
 *                                                            the next start removes it, and RocksDB has room to recover
 *
 * Thread: start and stop on main's, disk_free on any.
 */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include "freshet/err.h"

struct disk {
    const char *path; /* borrowed */
    uint64_t reserve; /* bytes; 0: not watched */
};

/* `wanted` bytes are to stay free, on a small disk a quarter of it. Before the store is opened: if the disk has less room than the
 * recovery of what lies there needs, the ballast is given up; if that is not enough, FR_FULL names the path and how much is
 * missing. Otherwise makes the ballast if there is plenty of room. */
int disk_start(struct disk *disk, const char *path, uint64_t wanted, struct fr_err *err);
/* UINT64_MAX if it cannot be told. `disk` is a struct disk. */
uint64_t disk_free(void *disk);

#endif
