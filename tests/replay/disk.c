/*
 * disk.c -- see disk.h.
 */
#include "disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "freshet/alloc.h"

struct fault {
    int after, times; /* calls that still work; calls that then fail */
    enum fr_status code;
    bool takes;
};

struct disk {
    struct store *store; /* RocksDB: NULL while no process has it */
    char *folder;        /* NULL: in memory */
    int copies;
    struct fault faults[DISK_CALLS];
    const struct store_ops *real;
    struct store_ops watched;
};

static struct disk *the_disk; /* of the store whose operations are watched */

static bool fails(enum disk_call call, struct fr_err *err)
{
    struct fault *fault = &the_disk->faults[call];

    if (!fault->times || fault->after-- > 0)
        return false;
    fault->after = 0;
    fault->times--;
    fr_fail(err, fault->code, "cannot %s: a fault was asked for", call == DISK_WRITE ? "write" : "sync");
    return true;
}

static int watched_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    if (!fails(DISK_WRITE, err))
        return the_disk->real->write(store, batch, err);
    if (the_disk->faults[DISK_WRITE].takes)
        the_disk->real->write(store, batch, NULL);
    return (int)the_disk->faults[DISK_WRITE].code;
}

static int watched_sync(struct store *store, struct fr_err *err)
{
    return fails(DISK_SYNC, err) ? (int)the_disk->faults[DISK_SYNC].code : the_disk->real->sync(store, err);
}

/* Opening anew ends with a sync of what was found, which a sick disk refuses as well. (What cannot be read when it is opened ends
 * the process: that is another story.) */
static int watched_reopen(struct store *store, struct fr_err *err)
{
    enum fr_status code = the_disk->faults[DISK_SYNC].code;

    return code != FR_CORRUPT && fails(DISK_SYNC, err) ? (int)code : the_disk->real->reopen(store, err);
}

static void end_process(struct disk *disk)
{
    for (int call = 0; call < DISK_CALLS; call++)
        disk->faults[call].times = 0;
    if (disk->store)
        disk->store->ops = disk->real;
}

struct disk *disk_new(const char *folder)
{
    struct disk *disk = fr_zalloc(1, sizeof(*disk));

    if (folder)
        disk->folder = fr_strdup(folder);
    else
        disk->store = store_memory_new(NULL);
    the_disk = disk;
    return disk;
}

void disk_free(struct disk *disk)
{
    if (disk->store)
        disk->store->ops->close(disk->store);
    free(disk->folder);
    free(disk);
}

static int open_rocks(struct disk *disk, struct fr_err *err)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s.%d", disk->folder, disk->copies);
    return store_rocks_open(&disk->store, &(struct store_rocks_options){.path = path}, err);
}

struct store *disk_open(struct disk *disk, struct fr_err *err)
{
    if (disk->folder && open_rocks(disk, err))
        return NULL;
    disk->real = disk->store->ops;
    disk->watched = *disk->real;
    disk->watched.write = watched_write;
    disk->watched.sync = watched_sync;
    disk->watched.reopen = watched_reopen;
    /* RocksDB writes what it recovers from its log into a synced table before it opens (storage/rocks's test). */
    if (!disk->folder && disk->real->sync(disk->store, err))
        return NULL;
    disk->store->ops = &disk->watched;
    return disk->store;
}

void disk_close(struct disk *disk)
{
    end_process(disk);
    if (!disk->folder)
        return;
    disk->store->ops->close(disk->store);
    disk->store = NULL;
}

/* Nobody writes now: the files are what a killed process leaves. */
static void copy_folder(struct disk *disk)
{
    char command[9000];

    snprintf(command, sizeof(command), "cp -a '%s.%d' '%s.%d'", disk->folder, disk->copies, disk->folder,
             disk->copies + 1);
    if (system(command))
        abort();
    disk->copies++;
}

struct store *disk_crash(struct disk *disk, bool power_cut)
{
    struct store *old = disk->store;

    end_process(disk);
    if (disk->folder) {
        assert(!power_cut);
        copy_folder(disk);
        disk->store = NULL;
        return old;
    }
    if (!power_cut)
        old->ops->sync(old, NULL); /* what the kernel has does not depend on the process */
    disk->store = store_memory_after_power_cut(old);
    return old;
}

void disk_fail(struct disk *disk, enum disk_call call, int nth, int times, enum fr_status code, bool takes)
{
    disk->faults[call] = (struct fault){nth - 1, times, code, takes};
}
