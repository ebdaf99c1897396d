/*
 * rocks.c -- the store on RocksDB, and the only file that knows it.
 *
 *     write   one WriteBatch, write-ahead log on, no sync: the kernel has it when it returns
 *     sync    flush_wal(sync): the disk has it
 *
 * One column family, so that a batch lives in one memtable and one log record. Never set here, because each has lost
 * data in this or a later version: atomic_flush, disableWAL, manual_wal_flush, recycle_log_file_num, unordered_write.
 * The C API gives errors as texts only; rocks_error_code() reads them back; one it does not know is FR_IO.
 *
 * Memtables are switched here and not by RocksDB (write_buffer_size is out of reach): a switch begins another log file, and
 * with one column family the library does not sync the one before. A power cut could then take the end of that one and leave
 * the next: a hole in the middle, which no recovery mode sees. So the log is synced first.
 *
 * After an error of the write-ahead log the handle is of no more use: another attempt meets an assertion of the library's,
 * and a failed fsync tells nothing of the pages it has left behind. So it is closed and opened anew. Opening reads the log,
 * writes what it finds there to a table, and syncs that before it returns: what an opened store holds is durable.
 */
#include "rocks_errors.h"
#include "rocks_warm.h"

#include <assert.h>
#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rocksdb/c.h>

#include "freshet/alloc.h"
#include "freshet/store.h"
#include "ledger.h"
#include "mark.h"

enum {
    MEMTABLE = 64 << 20,
    LOG_FIRST = 64 << 20, /* room reserved for a log file */
    BLOCK = 16 << 10,
    BLOCK_CACHE = 8 << 20, /* state is read once, at the start; what is read later is a segment to fold */
    SCAN_READAHEAD = 2 << 20,
    FILES_MAX = 512,
    LEVELS = 7,
    TOP_LEVELS = 2, /* not compressed: soon rewritten */
    LOG_FILE = 1 << 20,
    PREFIX_MAX = 300,
    POINT_IN_TIME = 2, /* WALRecoveryMode::kPointInTimeRecovery */
    LOG_FATAL = 4, /* a line less in RocksDB's LOG: a second one after a failed one meets an assertion. We log errors ourselves */
};

struct rocks {
    struct store store;
    struct store_rocks_options options; /* with a path of its own */
    pthread_mutex_t lock; /* `db` comes and goes under it, because number() asks from any thread */
    rocksdb_t *db;        /* NULL: closed after an error */
    struct mark mark;
    struct ledger ledger;
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    rocksdb_readoptions_t *read;
};

struct store_batch {
    rocksdb_writebatch_t *batch;
};

struct store_iter {
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *iter;
    bool begun;
    char bound[PREFIX_MAX]; /* must outlive the iterator */
};

/* ---- errors ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

enum fr_status rocks_error_code(const char *text)
{
    if (begins(text, "Corruption"))
        return FR_CORRUPT;
    if (strstr(text, "No space left") || begins(text, "IO error: No space"))
        return FR_FULL;
    if (strstr(text, "lock hold by") || strstr(text, "While lock file") || begins(text, "Resource busy"))
        return FR_BUSY;
    if (begins(text, "NotFound"))
        return FR_NOT_FOUND;
    if (begins(text, "Operation timed out"))
        return FR_TIMEOUT;
    if (begins(text, "Shutdown in progress"))
        return FR_CLOSED;
    if (begins(text, "Invalid argument") || begins(text, "Not implemented"))
        return FR_INVALID;
    return FR_IO;
}

bool rocks_error_lacks_file(const char *text)
{
    return strstr(text, "No such file or directory");
}

/* Takes the text. */
static int fail(struct fr_err *err, char *text, const char *what)
{
    enum fr_status code = rocks_error_code(text);

    fr_fail(err, code, "cannot %s: %s", what, text);
    if (err)
        err->retriable = code == FR_FULL || code == FR_BUSY || code == FR_IO || code == FR_TIMEOUT;
    rocksdb_free(text);
    return code;
}

/* ---- batches ---- */

static struct store_batch *batch_new(struct store *store)
{
    struct store_batch *batch = fr_alloc(sizeof(*batch));

    (void)store;
    batch->batch = rocksdb_writebatch_create();
    return batch;
}

static void batch_free(struct store_batch *batch)
{
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

static void batch_clear(struct store_batch *batch)
{
    rocksdb_writebatch_clear(batch->batch);
}

static void batch_put(struct store_batch *batch, struct fr_bytes key, struct fr_bytes value)
{
    rocksdb_writebatch_put(batch->batch, key.at, key.len, value.at, value.len);
}

static void batch_delete(struct store_batch *batch, struct fr_bytes key)
{
    rocksdb_writebatch_delete(batch->batch, key.at, key.len);
}

static size_t batch_bytes(const struct store_batch *batch)
{
    size_t len;

    rocksdb_writebatch_data(batch->batch, &len);
    return len;
}

static size_t batch_keys(const struct store_batch *batch)
{
    return (size_t)rocksdb_writebatch_count(batch->batch);
}

static const size_t never = (size_t)64 << 30; /* the largest write buffer RocksDB takes */

/* ---- writing and reading ---- */

static int closed(struct fr_err *err)
{
    return fr_fail(err, FR_CLOSED, "the store is closed after an error");
}

/* A memtable that is full: syncs its log, then begins another and lets the old one be written to a table in the background. */
static void switch_memtable(struct rocks *rocks, char **text)
{
    uint64_t bytes;

    if (rocksdb_property_int(rocks->db, "rocksdb.cur-size-active-mem-table", &bytes) || bytes < rocks->options.memtable)
        return;
    rocksdb_flush_wal(rocks->db, 1, text);
    if (!*text)
        rocksdb_flush(rocks->db, rocks->flush, text);
}

static int rocks_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    char *text = NULL;

    if (!rocks->db)
        return closed(err);
    switch_memtable(rocks, &text);
    if (text)
        return fail(err, text, "write a table of the store");
    rocksdb_write(rocks->db, rocks->write, batch->batch, &text);
    return text ? fail(err, text, "write to the store") : FR_OK;
}

static int rocks_sync(struct store *store, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    char *text = NULL;

    if (!rocks->db)
        return closed(err);
    rocksdb_flush_wal(rocks->db, 1, &text);
    return text ? fail(err, text, "sync the store") : FR_OK;
}

static int rocks_get(struct store *store, struct fr_bytes key, char **ret_value, size_t *ret_len, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    char *text = NULL;
    size_t len;

    if (!rocks->db)
        return closed(err);
    char *value = rocksdb_get(rocks->db, rocks->read, key.at, key.len, &len, &text);

    if (text)
        return fail(err, text, "read from the store");
    if (!value)
        return fr_fail(err, FR_NOT_FOUND, "there is no such key");
    *ret_value = fr_alloc(len + 1); /* with our allocator, whatever RocksDB's is */
    memcpy(*ret_value, value, len);
    *ret_len = len;
    rocksdb_free(value);
    return FR_OK;
}

/* The least key above all with this prefix; 0 bytes: there is none. */
static size_t prefix_bound(struct fr_bytes prefix, char *bound)
{
    size_t len = prefix.len;

    memcpy(bound, prefix.at, len);
    while (len && (unsigned char)bound[len - 1] == 0xff)
        len--;
    if (len)
        bound[len - 1] = (char)((unsigned char)bound[len - 1] + 1);
    return len;
}

static struct store_iter *rocks_iterate(struct store *store, struct fr_bytes prefix)
{
    struct rocks *rocks = (struct rocks *)store;
    struct store_iter *iter = fr_zalloc(1, sizeof(*iter));

    assert(prefix.len <= PREFIX_MAX && rocks->db);
    iter->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(iter->options, 1);
    rocksdb_readoptions_set_fill_cache(iter->options, 0);
    if (prefix.len < 4) /* a table or more; else a few neighbouring keys, and reading ahead would be waste */
        rocksdb_readoptions_set_readahead_size(iter->options, SCAN_READAHEAD);
    size_t bound_len = prefix.len ? prefix_bound(prefix, iter->bound) : 0;
    if (bound_len)
        rocksdb_readoptions_set_iterate_upper_bound(iter->options, iter->bound, bound_len);
    iter->iter = rocksdb_create_iterator(rocks->db, iter->options);
    if (prefix.len)
        rocksdb_iter_seek(iter->iter, prefix.at, prefix.len);
    else
        rocksdb_iter_seek_to_first(iter->iter);
    return iter;
}

static void warm(struct store *store, const _Atomic bool *stop)
{
    rocks_warm(((struct rocks *)store)->options.path, stop);
}

static bool rocks_next(struct store_iter *iter, struct fr_bytes *ret_key, struct fr_bytes *ret_value)
{
    if (iter->begun && rocksdb_iter_valid(iter->iter))
        rocksdb_iter_next(iter->iter);
    iter->begun = true;
    if (!rocksdb_iter_valid(iter->iter))
        return false;
    ret_key->at = rocksdb_iter_key(iter->iter, &ret_key->len);
    ret_value->at = rocksdb_iter_value(iter->iter, &ret_value->len);
    return true;
}

static int rocks_iter_close(struct store_iter *iter, struct fr_err *err)
{
    char *text = NULL;

    rocksdb_iter_get_error(iter->iter, &text);
    rocksdb_iter_destroy(iter->iter);
    rocksdb_readoptions_destroy(iter->options);
    free(iter);
    return text ? fail(err, text, "read from the store") : FR_OK;
}

static bool rocks_number(struct store *store, const char *name, uint64_t *ret_value)
{
    static const struct {
        const char *name, *property;
    } numbers[] = {
        {"memtable_bytes", "rocksdb.cur-size-all-mem-tables"},
        {"sst_bytes", "rocksdb.live-sst-files-size"},
        {"write_stopped", "rocksdb.is-write-stopped"},
        {"background_errors", "rocksdb.background-errors"},
        {"running_compactions", "rocksdb.num-running-compactions"},
        {"pending_compaction_bytes", "rocksdb.estimate-pending-compaction-bytes"},
        {"block_cache_bytes", "rocksdb.block-cache-usage"},
    };
    struct rocks *rocks = (struct rocks *)store;
    bool known = false;

    pthread_mutex_lock(&rocks->lock);
    for (size_t i = 0; rocks->db && i < sizeof(numbers) / sizeof(*numbers); i++)
        if (!strcmp(name, numbers[i].name))
            known = rocksdb_property_int(rocks->db, numbers[i].property, ret_value) == 0;
    pthread_mutex_unlock(&rocks->lock);
    return known;
}

static int rocks_mark(struct store *store, uint64_t number, struct fr_err *err)
{
    return mark_write(&((struct rocks *)store)->mark, number, err);
}

static uint64_t rocks_marked(struct store *store)
{
    return ((struct rocks *)store)->mark.number;
}

/* Flushed first, so that the copy needs nothing of the write-ahead log; the log is synced before, because the flush begins
 * another one. Tables are hard links, the rest is small. */
static int rocks_snapshot(struct store *store, const char *path, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    char *text = NULL;
    rocksdb_checkpoint_t *checkpoint;

    if (!rocks->db)
        return closed(err);
    rocksdb_flush_wal(rocks->db, 1, &text);
    if (text)
        return fail(err, text, "sync the store");
    checkpoint = rocksdb_checkpoint_object_create(rocks->db, &text);
    if (text)
        return fail(err, text, "begin a copy of the store");
    rocksdb_checkpoint_create(checkpoint, path, 0, &text);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return text ? fail(err, text, "copy the store") : FR_OK;
}

/* ---- opening and closing ---- */

static rocksdb_options_t *options_new(bool compressed)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE);
    int compression[LEVELS];

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, never);
    rocksdb_options_set_max_total_wal_size(options, LOG_FIRST);
    rocksdb_options_set_max_open_files(options, FILES_MAX);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_wal_recovery_mode(options, POINT_IN_TIME);
    for (int i = 0; i < LEVELS; i++)
        compression[i] = compressed && i >= TOP_LEVELS ? rocksdb_lz4_compression : rocksdb_no_compression;
    rocksdb_options_set_num_levels(options, LEVELS);
    rocksdb_options_set_compression_per_level(options, compression, LEVELS);
    rocksdb_block_based_options_set_block_size(table, BLOCK);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_options_set_info_log_level(options, LOG_FATAL);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, LOG_FILE);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache);
    return options;
}

static rocksdb_t *open_with(const char *path, bool compressed, char **text)
{
    rocksdb_options_t *options = options_new(compressed);
    rocksdb_t *db = rocksdb_open(options, path, text);

    rocksdb_options_destroy(options);
    return db;
}

enum found { NOTHING, A_DATABASE, ONE_WITHOUT_HEAD };

/* A database without CURRENT is a new one to RocksDB, which then throws away the files it finds. Ours has had one since its first
 * opening, which, if killed, leaves MANIFEST-000001 and no table. */
static enum found look_into(const char *path)
{
    enum found found = NOTHING;
    DIR *dir = opendir(path);

    for (struct dirent *entry; dir && found != A_DATABASE && (entry = readdir(dir));)
        if (!strcmp(entry->d_name, "CURRENT"))
            found = A_DATABASE;
        else if ((begins(entry->d_name, "MANIFEST-") && strcmp(entry->d_name, "MANIFEST-000001")) ||
                 strstr(entry->d_name, ".sst"))
            found = ONE_WITHOUT_HEAD;
    if (dir)
        closedir(dir);
    return found;
}

/* What a database cannot be opened for, if not the disk's or another process's doing, is damage. */
static int open_failed(const char *path, char *text, bool is_database, struct fr_err *err)
{
    bool lacks_file = rocks_error_lacks_file(text);
    int status = fail(err, text, "open it");

    if (is_database && (lacks_file || status == FR_INVALID || status == FR_NOT_FOUND))
        status = FR_CORRUPT;
    if (err)
        err->code = (enum fr_status)status;
    fr_while(err, "store '%s': ", path);
    return status;
}

static int open_db(const char *path, rocksdb_t **ret_db, struct fr_err *err)
{
    char *text = NULL;
    enum found found = look_into(path);

    if (found == ONE_WITHOUT_HEAD)
        return fr_fail(err, FR_CORRUPT, "store '%s': it has files of a database, but CURRENT is gone", path);
    rocksdb_t *db = open_with(path, true, &text);
    if (text && strstr(text, "not linked with the binary")) { /* a library without lz4 */
        rocksdb_free(text);
        text = NULL;
        db = open_with(path, false, &text);
    }
    if (text)
        return open_failed(path, text, found == A_DATABASE, err);
    *ret_db = db;
    return FR_OK;
}

static void close_db(struct rocks *rocks)
{
    pthread_mutex_lock(&rocks->lock);
    rocksdb_t *db = rocks->db;
    rocks->db = NULL;
    pthread_mutex_unlock(&rocks->lock);
    if (!db)
        return;
    rocksdb_cancel_all_background_work(db, 1);
    rocksdb_close(db);
}

/* Beside the folder of the database, which a restore replaces. */
static const char *ledger_path(const struct rocks *rocks, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s.forgotten", rocks->options.path);
    return path;
}

static int rocks_note(struct store *store, const struct fr_bytes *records, size_t len, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    char path[PATH_MAX];

    return ledger_append(&rocks->ledger, ledger_path(rocks, path), records, len, err);
}

static int rocks_notes(struct store *store, store_note *each, void *context, struct fr_err *err)
{
    char path[PATH_MAX];

    return ledger_read(ledger_path((struct rocks *)store, path), each, context, err);
}

static int rocks_reopen(struct store *store, struct fr_err *err)
{
    struct rocks *rocks = (struct rocks *)store;
    rocksdb_t *db;

    close_db(rocks);
    int status = mark_probe(rocks->options.path, err);
    if (!status)
        status = open_db(rocks->options.path, &db, err);
    if (status)
        return status;
    pthread_mutex_lock(&rocks->lock);
    rocks->db = db;
    pthread_mutex_unlock(&rocks->lock);
    mark_close(&rocks->mark);
    return mark_open(&rocks->mark, rocks->options.path, err);
}

static void rocks_close(struct store *store)
{
    struct rocks *rocks = (struct rocks *)store;

    close_db(rocks);
    mark_close(&rocks->mark);
    rocksdb_flushoptions_destroy(rocks->flush);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_readoptions_destroy(rocks->read);
    pthread_mutex_destroy(&rocks->lock);
    free((char *)(uintptr_t)rocks->options.path);
    free(rocks);
}

static const struct store_ops rocks_ops = {
    .close = rocks_close,
    .batch_new = batch_new,
    .batch_free = batch_free,
    .batch_clear = batch_clear,
    .batch_put = batch_put,
    .batch_delete = batch_delete,
    .batch_bytes = batch_bytes,
    .batch_keys = batch_keys,
    .write = rocks_write,
    .sync = rocks_sync,
    .reopen = rocks_reopen,
    .mark = rocks_mark,
    .marked = rocks_marked,
    .note = rocks_note,
    .notes = rocks_notes,
    .get = rocks_get,
    .iterate = rocks_iterate,
    .warm = warm,
    .next = rocks_next,
    .iter_close = rocks_iter_close,
    .number = rocks_number,
    .snapshot = rocks_snapshot,
};

int store_rocks_open(struct store **ret_store, const struct store_rocks_options *options, struct fr_err *err)
{
    rocksdb_t *db;
    int status = open_db(options->path, &db, err);

    if (status)
        return status;
    struct rocks *rocks = fr_zalloc(1, sizeof(*rocks));
    rocks->store.ops = &rocks_ops;
    rocks->options = *options;
    rocks->options.path = fr_strdup(options->path);
    pthread_mutex_init(&rocks->lock, NULL);
    rocks->db = db;
    if (!rocks->options.memtable)
        rocks->options.memtable = MEMTABLE;
    rocks->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(rocks->flush, 0);
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write, 0);
    rocks->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->read, 1);
    status = mark_open(&rocks->mark, options->path, err);
    if (status) {
        rocks_close(&rocks->store);
        return status;
    }
    *ret_store = &rocks->store;
    return FR_OK;
}

const char *store_rocks_version(void)
{
    return FR_ROCKSDB_VERSION;
}
