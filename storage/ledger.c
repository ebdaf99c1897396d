/*
 * ledger.c -- a file that only grows.
 *
 *     [ len u32 | ~len u32 | XXH3-64 of the bytes, u64 | bytes ] [ len | ... ] ...        little endian
 *
 * Records are added by one write and one sync. A crash within can leave the file ending inside a record, or with zeros where a block of it was
 * never written though the file had grown already; and of several blocks any may be the one. None of it was promised to anybody, and the next
 * append cuts it off. Anything else that does not read is damage, and is said; the length is there twice so that a damaged one is not taken for
 * a record that ends past the file.
 *
 *     [ walked, or appended and synced ... ][ cut short: of no one ]
 *                                          ^ end                    ^ size         remembered, so that an append does not read it all again
 */
#include "ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freshet/alloc.h"
#include "freshet/codec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HEAD = 16, BLOCK = 4096 };

static int fail(struct fr_err *err, const char *what, const char *path)
{
    int number = errno;
    enum fr_status code = number == ENOSPC || number == EDQUOT ? FR_FULL : FR_IO;

    fr_fail(err, code, "cannot %s '%s': %s", what, path, strerror(number));
    if (err)
        err->retriable = true;
    return code;
}

/* The whole file, malloc'ed; *ret_len 0 if it is missing. */
static int read_file(int fd, const char *path, char **ret_bytes, size_t *ret_len, struct fr_err *err)
{
    struct stat about;
    size_t len = 0;

    if (fstat(fd, &about) != 0)
        return fail(err, "look at", path);
    char *bytes = fr_alloc((size_t)about.st_size + 1);
    while (len < (size_t)about.st_size) {
        ssize_t got = pread(fd, bytes + len, (size_t)about.st_size - len, (off_t)len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(bytes);
            return fail(err, "read", path);
        }
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *ret_bytes = bytes;
    *ret_len = len;
    return FR_OK;
}

/* False: the bytes are no beginning of a record, whole or cut short. */
static bool read_head(struct fr_reader *in, uint32_t *ret_size, uint64_t *ret_hash)
{
    uint32_t size = fr_get_u32(in), turned = fr_get_u32(in);

    *ret_size = size;
    *ret_hash = fr_get_u64(in);
    return in->failed || ((size ^ turned) == UINT32_MAX && size > 0 && size <= LEDGER_RECORD_MAX);
}

/* As a block is, or the rest of one, that was never written. */
static bool is_blank(const char *bytes, size_t at, size_t end)
{
    while (at < end && !bytes[at])
        at++;
    return at == end;
}

/*
 * What begins at `at` and does not read is of a crash: its block is zeros from there on, or it reaches into one that is; and either so are all
 * behind, or they may be of the same append, whose blocks are written in no order.
 */
static bool is_unwritten(const char *bytes, size_t at, size_t len)
{
    struct fr_reader in = fr_reader_of(bytes + at, len - at);
    size_t next = (at / BLOCK + 1) * BLOCK, after = next + BLOCK;
    uint32_t size;
    uint64_t hash;
    size_t reach = read_head(&in, &size, &hash) ? HEAD + size : HEAD;
    bool one_append = len - at <= LEDGER_APPEND_MAX, reaches = next < at + reach && next < len;

    return is_blank(bytes, at, one_append && next < len ? next : len) ||
           (reaches && is_blank(bytes, next, one_append && after < len ? after : len));
}

/* The length of the record at `bytes`, with its head; 0: it is cut short (*ret_torn) or damaged. */
static size_t record_at(const char *bytes, size_t len, struct fr_bytes *ret_record, bool *ret_torn)
{
    struct fr_reader in = fr_reader_of(bytes, len);
    uint32_t size;
    uint64_t hash;
    bool good = read_head(&in, &size, &hash);

    *ret_torn = good && (in.failed || size > len - HEAD);
    if (!good || *ret_torn || XXH3_64bits(bytes + HEAD, size) != hash)
        return 0;
    *ret_record = (struct fr_bytes){bytes + HEAD, size};
    return HEAD + size;
}

static int damaged(const char *path, size_t at, struct fr_err *err)
{
    return fr_fail(err, FR_CORRUPT,
                   "'%s' is damaged at byte %zu: it says who was forgotten, and what is behind that byte cannot be read; put back a good copy "
                   "of it, or move it away to go on without",
                   path, at);
}

/* Walks the records; *ret_end: where the last whole one ends. */
static int walk(const char *path, const char *bytes, size_t len, store_note *each, void *context, size_t *ret_end, struct fr_err *err)
{
    struct fr_bytes record;
    size_t at = 0, step;
    bool torn = true;

    while (at < len && (step = record_at(bytes + at, len - at, &record, &torn))) {
        if (each && !each(context, record)) /* whole, and not ours */
            return damaged(path, at, err);
        at += step;
    }
    if (at < len && !torn && !is_unwritten(bytes, at, len))
        return damaged(path, at, err);
    *ret_end = at;
    return FR_OK;
}

int ledger_read(const char *path, store_note *each, void *context, struct fr_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0, end;
    char *bytes = NULL;

    if (fd < 0)
        return errno == ENOENT ? FR_OK : fail(err, "open", path);
    int status = read_file(fd, path, &bytes, &len, err);
    close(fd);
    if (status == FR_OK)
        status = walk(path, bytes, len, each, context, &end, err);
    free(bytes);
    return status;
}

/* So that the file itself survives a power cut. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s", path);
    int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return failed;
}

static int write_at(int fd, const char *path, off_t end, const struct fr_writer *out, struct fr_err *err)
{
    size_t done = 0;

    if (ftruncate(fd, end) != 0)
        return fail(err, "shorten", path);
    while (done < out->len) {
        ssize_t wrote = pwrite(fd, out->at + done, out->len - done, end + (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fail(err, "write", path);
        done += (size_t)wrote;
    }
    if (fsync(fd) != 0 || sync_folder(path) != 0)
        return fail(err, "sync", path);
    return FR_OK;
}

/* After an fsync that failed the kernel holds what it could not write for written, and no later one tries again: what is behind `end` is cut
 * off, so that the next attempt writes it anew instead of finding it there. Should that fail too, the next attempt begins at `end` all the same. */
static int append_at(struct ledger *ledger, int fd, const char *path, const struct fr_writer *out, struct fr_err *err)
{
    int status = write_at(fd, path, ledger->end, out, err);

    if (status == FR_OK)
        ledger->end += (off_t)out->len;
    ledger->size = status == FR_OK || ftruncate(fd, ledger->end) == 0 ? ledger->end : lseek(fd, 0, SEEK_END);
    return status;
}

/* Where the next record goes: as remembered, or by reading all of a file that is not as it was left. */
static int find_end(struct ledger *ledger, int fd, const char *path, struct fr_err *err)
{
    struct stat about;
    char *bytes = NULL;
    size_t len = 0, end = 0;

    if (fstat(fd, &about) != 0)
        return fail(err, "look at", path);
    if (ledger->inode == about.st_ino && ledger->size == about.st_size)
        return FR_OK;
    int status = read_file(fd, path, &bytes, &len, err);
    if (status == FR_OK)
        status = walk(path, bytes, len, NULL, NULL, &end, err);
    free(bytes);
    *ledger = (struct ledger){.inode = status == FR_OK ? about.st_ino : 0, .size = (off_t)len, .end = (off_t)end};
    return status;
}

int ledger_append(struct ledger *ledger, const char *path, const struct fr_bytes *records, size_t len, struct fr_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    struct fr_writer out;

    if (fd < 0)
        return fail(err, "open", path);
    fr_writer_init(&out, 0);
    for (size_t i = 0; i < len; i++) {
        fr_put_u32(&out, (uint32_t)records[i].len);
        fr_put_u32(&out, ~(uint32_t)records[i].len);
        fr_put_u64(&out, XXH3_64bits(records[i].at, records[i].len));
        fr_put_bytes(&out, records[i].at, records[i].len);
    }
    assert(out.len <= LEDGER_APPEND_MAX);
    int status = find_end(ledger, fd, path, err);
    if (status == FR_OK)
        status = append_at(ledger, fd, path, &out, err);
    fr_writer_release(&out);
    close(fd);
    return status;
}
