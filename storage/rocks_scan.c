/*
 * rocks_scan.c -- every key and value of a database, read-only: the write-ahead log is read into memory, no file is changed.
 */
#include "rocks_scan.h"

#include <rocksdb/c.h>

#include "rocks_errors.h"

enum { READAHEAD = 2 << 20, FILES_MAX = 512, LOG_FATAL = 4 };

/* Takes the text. What is not there or makes no sense is damage: these files were one database. */
static int fail(struct fr_err *err, char *text, const char *path)
{
    enum fr_status code = rocks_error_code(text);

    if (code == FR_NOT_FOUND || code == FR_INVALID || rocks_error_lacks_file(text))
        code = FR_CORRUPT;
    fr_fail(err, code, "cannot read the database '%s': %s", path, text);
    rocksdb_free(text);
    return code;
}

static int scan(rocksdb_t *db, const char *path, bool (*each)(void *context, struct fr_bytes key, struct fr_bytes value),
                void *context, struct fr_err *err)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    struct fr_bytes key, value;
    char *text = NULL;
    int status = FR_OK;

    rocksdb_readoptions_set_verify_checksums(options, 1);
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_readoptions_set_readahead_size(options, READAHEAD);
    rocksdb_iterator_t *iter = rocksdb_create_iterator(db, options);
    for (rocksdb_iter_seek_to_first(iter); !status && rocksdb_iter_valid(iter); rocksdb_iter_next(iter)) {
        key.at = rocksdb_iter_key(iter, &key.len);
        value.at = rocksdb_iter_value(iter, &value.len);
        if (!each(context, key, value))
            status = fr_fail(err, FR_CLOSED, "stopped while reading the database '%s'", path);
    }
    rocksdb_iter_get_error(iter, &text);
    if (text)
        status = fail(err, text, path);
    rocksdb_iter_destroy(iter);
    rocksdb_readoptions_destroy(options);
    return status;
}

int rocks_scan(const char *path, bool (*each)(void *context, struct fr_bytes key, struct fr_bytes value), void *context,
               struct fr_err *err)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *text = NULL;

    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_open_files(options, FILES_MAX);
    rocksdb_options_set_info_log_level(options, LOG_FATAL);
    rocksdb_t *db = rocksdb_open_for_read_only(options, path, 0, &text);
    rocksdb_options_destroy(options);
    if (text)
        return fail(err, text, path);
    int status = scan(db, path, each, context, err);
    rocksdb_close(db);
    return status;
}
