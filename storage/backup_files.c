/*
 * backup_files.c -- files of a backup: copied, hashed and made safe.
 */
#include "backup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/alloc.h"

enum { CHUNK = 1 << 20, TREE_DEPTH = 8 };

const char *path_of(char room[PATH_BYTES_MAX], const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(room, PATH_BYTES_MAX, format, list);
    va_end(list);
    return room;
}

static int failed(struct fr_err *err, const char *what, const char *path)
{
    int code = errno == ENOSPC || errno == EDQUOT ? FR_FULL : FR_IO;

    return fr_fail(err, (enum fr_status)code, "cannot %s '%s': %s", what, path, strerror(errno));
}

/* Of what is read alone: where something is to be written, a folder that is gone is no answer. */
static int open_failed(struct fr_err *err, const char *path)
{
    int status = errno == ENOENT ? FR_NOT_FOUND : FR_IO;

    return fr_fail(err, (enum fr_status)status, "cannot open '%s': %s", path, strerror(errno));
}

bool file_is_lost(int why)
{
    return why == EIO || why == EUCLEAN || why == EBADMSG; /* the last two: the file system's own checksums */
}

static int read_failed(struct fr_err *err, const char *path)
{
    int status = file_is_lost(errno) ? FR_CORRUPT : FR_IO;

    return fr_fail(err, (enum fr_status)status, "cannot read '%s': %s", path, strerror(errno));
}

/* ---- contents ---- */

static int write_all(int fd, const char *at, size_t len, const char *path, struct fr_err *err)
{
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err, "write", path);
        at += n;
        len -= (size_t)n;
    }
    return FR_OK;
}

/* Syncs, closes and says so; a write may fail as late as that. */
static int finish(int fd, const char *path, int status, struct fr_err *err)
{
    if (!status && fsync(fd))
        status = failed(err, "sync", path);
    if (close(fd) && !status)
        status = failed(err, "close", path);
    if (status)
        unlink(path);
    return status;
}

static int copy_all(int in, int out, const char *from, const char *to, const _Atomic bool *stop, struct backup_file *ret,
                    struct fr_err *err)
{
    XXH3_state_t *hash = XXH3_createState();
    char *chunk = fr_alloc(CHUNK);
    int status = FR_OK;

    XXH3_128bits_reset(hash);
    ret->size = 0;
    for (;;) {
        ssize_t n = read(in, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = read_failed(err, from);
        if (n <= 0)
            break;
        XXH3_128bits_update(hash, chunk, (size_t)n);
        ret->size += (uint64_t)n;
        if (out >= 0 && (status = write_all(out, chunk, (size_t)n, to, err)))
            break;
        if (stop && atomic_load_explicit(stop, memory_order_relaxed)) {
            status = fr_fail(err, FR_CLOSED, "stopped while reading '%s'", from);
            break;
        }
    }
    XXH128_hash_t digest = XXH3_128bits_digest(hash);
    ret->hash = (struct backup_hash){digest.high64, digest.low64};
    XXH3_freeState(hash);
    free(chunk);
    return status;
}

int file_copy(const char *from, const char *to, const _Atomic bool *stop, struct backup_file *ret, struct fr_err *err)
{
    int out = -1, in = open(from, O_RDONLY | O_CLOEXEC);

    if (in < 0 && file_is_lost(errno))
        return read_failed(err, from);
    if (in < 0)
        return open_failed(err, from);
    if (to && (out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)) < 0) {
        int status = failed(err, "make", to);
        close(in);
        return status;
    }
    int status = copy_all(in, out, from, to, stop, ret, err);
    close(in);
    return out < 0 ? status : finish(out, to, status, err);
}

int file_write(const char *directory, const char *name, struct fr_bytes bytes, struct fr_err *err)
{
    char temporary[PATH_BYTES_MAX], path[PATH_BYTES_MAX];
    int fd = open(path_of(temporary, "%s/%s.tmp", directory, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    if (fd < 0)
        return failed(err, "make", temporary);
    int status = finish(fd, temporary, write_all(fd, bytes.at, bytes.len, temporary, err), err);
    if (!status)
        status = file_rename(temporary, path_of(path, "%s/%s", directory, name), err);
    return status ? status : directory_sync(directory, err);
}

int file_read(const char *path, char **ret_text, size_t *ret_len, struct fr_err *err)
{
    FILE *file = fopen(path, "re");
    size_t len = 0, cap = 0, n;
    char *text = NULL;

    if (!file)
        return file_is_lost(errno) ? read_failed(err, path) : open_failed(err, path);
    do {
        fr_reserve((void **)&text, &cap, len + 4096, 1);
        n = fread(text + len, 1, cap - len, file);
        len += n;
    } while (n);
    int status = ferror(file) ? read_failed(err, path) : FR_OK;
    fclose(file);
    if (status) {
        free(text);
        return status;
    }
    *ret_text = text;
    *ret_len = len;
    return FR_OK;
}

int file_rename(const char *from, const char *to, struct fr_err *err)
{
    if (!rename(from, to))
        return FR_OK;
    return fr_fail(err, errno == ENOSPC || errno == EDQUOT ? FR_FULL : FR_IO, "cannot rename '%s' to '%s': %s", from, to,
                   strerror(errno));
}

/* ---- directories ---- */

int directory_make(const char *path, struct fr_err *err)
{
    char part[PATH_BYTES_MAX];

    path_of(part, "%s", path);
    for (char *at = part + 1;; at++) {
        char end = *at;
        if (end && end != '/')
            continue;
        *at = 0;
        if (mkdir(part, 0750) && errno != EEXIST)
            return failed(err, "make the directory", part);
        if (!end)
            return FR_OK;
        *at = end;
    }
}

int directory_sync(const char *path, struct fr_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = FR_OK;

    if (fd < 0)
        return failed(err, "open", path);
    if (fsync(fd))
        status = failed(err, "sync", path);
    close(fd);
    return status;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

int directory_remove(const char *path, struct fr_err *err)
{
    if (!nftw(path, remove_one, TREE_DEPTH, FTW_DEPTH | FTW_PHYS) || errno == ENOENT)
        return FR_OK;
    return failed(err, "remove", path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int names_read(const char *directory, struct names *ret_names, struct fr_err *err)
{
    DIR *dir = opendir(directory);

    *ret_names = (struct names){0};
    if (!dir)
        return open_failed(err, directory);
    for (struct dirent *entry; errno = 0, (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        fr_reserve((void **)&ret_names->at, &ret_names->cap, ret_names->len + 1, sizeof(*ret_names->at));
        ret_names->at[ret_names->len++] = fr_strdup(entry->d_name);
    }
    int why = errno; /* a list cut short would be taken for all there is, and what it does not name be swept */
    closedir(dir);
    if (why) {
        names_release(ret_names);
        errno = why;
        return failed(err, "list", directory);
    }
    if (ret_names->len)
        qsort(ret_names->at, ret_names->len, sizeof(*ret_names->at), by_name);
    return FR_OK;
}

void names_release(struct names *names)
{
    for (size_t i = 0; i < names->len; i++)
        free(names->at[i]);
    free(names->at);
    *names = (struct names){0};
}
