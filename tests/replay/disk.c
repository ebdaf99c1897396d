/*
 * disk.c -- a store around a store: most calls go straight through.
 */
#include "disk.h"

#include <stdlib.h>

#include "freshet/alloc.h"

struct fault {
    int after, times; /* calls that still work; calls that then fail */
    enum fr_status code;
    bool takes;
};

struct disk {
    struct store *inner; /* NULL: RocksDB, and not open */
    char *folder;
    struct fault faults[DISK_CALLS];
    struct plug *plug;
};

struct plug {
    struct store store;
    struct store *inner;
    struct disk *disk; /* NULL: pulled */
};

static struct store *inner_of(struct store *store)
{
    return ((struct plug *)store)->inner;
}

static bool fails(struct plug *plug, enum disk_call call, struct fr_err *err, bool *ret_takes)
{
    struct fault *fault = &plug->disk->faults[call];

    *ret_takes = true;
    if (!fault->times || fault->after-- > 0)
        return false;
    fault->after = 0;
    fault->times--;
    *ret_takes = fault->takes;
    fr_fail(err, fault->code, "cannot %s: a fault was asked for", call == DISK_WRITE ? "write" : "sync");
    return true;
}

static int plug_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    struct plug *plug = (struct plug *)store;
    bool takes;

    if (!plug->disk)
        return FR_OK;
    if (!fails(plug, DISK_WRITE, err, &takes))
        return plug->inner->ops->write(plug->inner, batch, err);
    enum fr_status code = plug->disk->faults[DISK_WRITE].code;
    if (takes)
        plug->inner->ops->write(plug->inner, batch, NULL);
    return code;
}

static int plug_sync(struct store *store, struct fr_err *err)
{
    struct plug *plug = (struct plug *)store;
    bool takes;

    if (!plug->disk)
        return FR_OK;
    if (!fails(plug, DISK_SYNC, err, &takes))
        return plug->inner->ops->sync(plug->inner, err);
    return plug->disk->faults[DISK_SYNC].code;
}

static struct store_batch *plug_batch_new(struct store *store)
{
    return inner_of(store)->ops->batch_new(inner_of(store));
}

static int plug_get(struct store *store, struct fr_bytes key, char **ret_value, size_t *ret_len, struct fr_err *err)
{
    return inner_of(store)->ops->get(inner_of(store), key, ret_value, ret_len, err);
}

static struct store_iter *plug_iterate(struct store *store, struct fr_bytes prefix)
{
    return inner_of(store)->ops->iterate(inner_of(store), prefix);
}

static bool plug_number(struct store *store, const char *name, uint64_t *ret_value)
{
    return inner_of(store)->ops->number(inner_of(store), name, ret_value);
}

static void plug_close(struct store *store)
{
    struct plug *plug = (struct plug *)store;

    if (plug->disk)
        disk_pull(plug->disk);
    free(plug);
}

struct disk *disk_new(const char *folder)
{
    struct disk *disk = fr_zalloc(1, sizeof(*disk));

    if (folder)
        disk->folder = fr_strdup(folder);
    else
        disk->inner = store_memory_new(NULL);
    return disk;
}

void disk_free(struct disk *disk)
{
    if (!disk)
        return;
    if (disk->inner)
        disk->inner->ops->close(disk->inner);
    free(disk->folder);
    free(disk);
}

struct store *disk_plug_in(struct disk *disk, struct fr_err *err)
{
    static struct store_ops ops;

    if (disk->folder) { /* opened anew for each process, as it would be */
        if (disk->inner)
            disk->inner->ops->close(disk->inner);
        disk->inner = NULL;
        if (store_rocks_open(&disk->inner, &(struct store_rocks_options){.path = disk->folder}, err))
            return NULL;
    }
    /* RocksDB writes what it recovers from its log into a synced table before it opens. */
    if (!disk->folder && disk->inner->ops->sync(disk->inner, err))
        return NULL;
    struct plug *plug = fr_zalloc(1, sizeof(*plug));
    ops = *disk->inner->ops; /* what takes no store goes straight through */
    ops.close = plug_close;
    ops.batch_new = plug_batch_new;
    ops.write = plug_write;
    ops.sync = plug_sync;
    ops.get = plug_get;
    ops.iterate = plug_iterate;
    ops.number = plug_number;
    plug->store.ops = &ops;
    plug->inner = disk->inner;
    plug->disk = disk;
    disk->plug = plug;
    return &plug->store;
}

void disk_pull(struct disk *disk)
{
    if (disk->plug)
        disk->plug->disk = NULL;
    disk->plug = NULL;
    for (int call = 0; call < DISK_CALLS; call++)
        disk->faults[call].times = 0;
}

void disk_power_cut(struct disk *disk)
{
    struct store *before = disk->inner;

    disk->inner = store_memory_after_power_cut(before);
    before->ops->close(before);
}

void disk_fail(struct disk *disk, enum disk_call call, int nth, int times, enum fr_status code, bool takes)
{
    disk->faults[call] = (struct fault){nth - 1, times, code, takes};
}

bool disk_failing(const struct disk *disk)
{
    return disk->faults[DISK_WRITE].times || disk->faults[DISK_SYNC].times;
}
