/*
 * store.h -- named byte strings, one atomic batch. What storage offers to the engine, and no more.
 *
 * Implemented by storage/rocks.c on RocksDB and by storage/memory.c in memory with faults on demand. A batch is
 * applied whole or not at all, whatever is killed when. It survives the process at once, and the machine from the next
 * store_sync on. Keys sort bytewise.
 *
 * Thread: one at a time for writing, and reading (get, iterate) from the same thread. While nobody writes, several threads may
 * read, each with iterators of its own.
 */
#ifndef FR_STORE_H
#define FR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/err.h"

struct store;
struct store_batch;
struct store_iter;

/* Returns false when the record cannot be ours. */
typedef bool store_note(void *context, struct fr_bytes record);

struct store_ops {
    void (*close)(struct store *store);
    struct store_batch *(*batch_new)(struct store *store);
    void (*batch_free)(struct store_batch *batch);
    void (*batch_clear)(struct store_batch *batch);
    void (*batch_put)(struct store_batch *batch, struct fr_bytes key, struct fr_bytes value); /* copies */
    void (*batch_delete)(struct store_batch *batch, struct fr_bytes key);
    size_t (*batch_bytes)(const struct store_batch *batch);
    size_t (*batch_keys)(const struct store_batch *batch);
    int (*write)(struct store *store, struct store_batch *batch, struct fr_err *err);
    int (*sync)(struct store *store, struct fr_err *err);
    /* After a write, a sync or a mark has failed nothing the open store says can be trusted: this closes it and opens it
     * anew. What is found then is what some prefix of the batches made, not less than what was synced, and is durable
     * itself. If it fails, the store stays closed (FR_CLOSED) until a later call succeeds. Batches live on, iterators must
     * not be open. */
    int (*reopen)(struct store *store, struct fr_err *err);
    /* Notes beside the data, safe on the disk when it returns, that all journals up to this one are synced; so that a store
     * which comes up with less is found out. marked: the last such number, 0 if there is none. */
    int (*mark)(struct store *store, uint64_t number, struct fr_err *err);
    uint64_t (*marked)(struct store *store);
    /* Notes beside the data what must outlive it: no restore and no new store in its place takes it back. On the disk, each of the records or
     * some first ones, when it returns; after an error the same call may be made again. At most 64 KiB at once, of which each takes 16 besides its own. */
    int (*note)(struct store *store, const struct fr_bytes *records, size_t len, struct fr_err *err);
    /* All records ever noted, in order. FR_CORRUPT if one cannot be read, or `each` says so. */
    int (*notes)(struct store *store, store_note *each, void *context, struct fr_err *err);
    /* FR_NOT_FOUND if there is none. The value is malloc'ed, the caller's. */
    int (*get)(struct store *store, struct fr_bytes key, char **ret_value, size_t *ret_len, struct fr_err *err);
    /* Keys with this prefix, ascending. Key and value are borrowed until the next step. */
    struct store_iter *(*iterate)(struct store *store, struct fr_bytes prefix);
    /* All tables will be read soon: has them fetched meanwhile. Returns when that is asked for, or soon after `stop` becomes true.
     * NULL: nothing to fetch. Thread: any. */
    void (*warm)(struct store *store, const _Atomic bool *stop);
    bool (*next)(struct store_iter *iter, struct fr_bytes *ret_key, struct fr_bytes *ret_value);
    int (*iter_close)(struct store_iter *iter, struct fr_err *err); /* says if it ended by an error */
    /* A named number about the store: "memtable_bytes", "sst_bytes", "write_stopped", "background_errors",
     * "running_compactions", "pending_compaction_bytes", "block_cache_bytes". False if it has no such number. Thread: any. */
    bool (*number)(struct store *store, const char *name, uint64_t *ret_value);
    /* Makes the directory `path`, on the store's own disk, a copy of the store as it is now: takes as long as writing what is in
     * memory, for tables are shared. NULL: this store cannot. */
    int (*snapshot)(struct store *store, const char *path, struct fr_err *err);
};

/* Every store begins with this. */
struct store {
    const struct store_ops *ops;
};

struct store_rocks_options {
    const char *path; /* made if missing */
    size_t memtable;  /* bytes in memory before a table is made of them; 0 = 64 MiB */
};
/* FR_BUSY if another process holds it, FR_CORRUPT, FR_FULL, FR_IO. */
int store_rocks_open(struct store **ret_store, const struct store_rocks_options *options, struct fr_err *err);
const char *store_rocks_version(void); /* "7.8.3" */

/* For tests: lives as long as the process. `faults` may be NULL. */
struct store_faults {
    int fail_write_at; /* the n-th write from now fails (1 = next); 0 = never */
    int fail_sync_at, fail_reopen_at;
    enum fr_status code;
    bool arrives; /* the write that fails is in the store all the same */
    bool forgets; /* opening anew finds only what was synced */
};
struct store *store_memory_new(struct store_faults *faults);
/* What a machine would find after a power cut: only what was synced. The old one stays usable. */
struct store *store_memory_after_power_cut(const struct store *store);

#endif
