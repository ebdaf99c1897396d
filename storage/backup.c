/*
 * backup.c -- backups made, listed and removed. Their verification and their way back: backup_restore.c.
 *
 *     make    survey the frozen copy | its files into files/ | sync | list: written, renamed, synced | old lists away | sweep
 *                                                                   ^ from here on it is a backup
 *
 * Sweeping removes what no list names: files of backups that were removed, and of those that were never finished. A list that
 * cannot be read names nothing and is no backup; it goes when all that are younger than the oldest kept one do. Where none is made,
 * as at a start, its files are spared: a program that is too old for it has nothing to put in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backup_private.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"

#define LIST_PREFIX "backup-"
#define LIST_NAME LIST_PREFIX "%06" PRIu64

enum { HASH_NAME_MAX = 64 };

/* ---- names ---- */

static const char *hash_name(char room[HASH_NAME_MAX], const struct backup_file *file)
{
    snprintf(room, HASH_NAME_MAX, "%016" PRIx64 "%016" PRIx64 "-%" PRIu64, file->hash.high, file->hash.low, file->size);
    return room;
}

const char *backup_file_path(char room[PATH_BYTES_MAX], const struct backup_place *place, const struct backup_file *file)
{
    char name[HASH_NAME_MAX];

    return path_of(room, "%s/files/%s", place->path, hash_name(name, file));
}

bool backup_file_same(const struct backup_file *a, const struct backup_file *b)
{
    return a->size == b->size && a->hash.high == b->hash.high && a->hash.low == b->hash.low;
}

/* 0: it is not the name of a list. */
static uint64_t id_of(const char *name)
{
    char again[BACKUP_LIST_NAME_MAX];
    uint64_t id;

    if (sscanf(name, LIST_PREFIX "%" SCNu64, &id) != 1)
        return 0;
    snprintf(again, sizeof(again), LIST_NAME, id);
    return strcmp(name, again) ? 0 : id;
}

/* ---- the lock ---- */

/* Who reads makes no lock where there is none, as in a copy: root's the daemon could not open. And one that is there can be shared by who
 * may only read it. */
int backup_lock(const struct backup_place *place, bool exclusive, int *ret_lock, struct fr_err *err)
{
    char path[PATH_BYTES_MAX];
    int lock = open(path_of(path, "%s/LOCK", place->path), (exclusive ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0640);

    *ret_lock = lock;
    if (lock < 0 && !exclusive)
        return FR_OK;
    if (lock < 0)
        return fr_fail(err, errno == ENOSPC || errno == EDQUOT ? FR_FULL : FR_IO, "cannot open '%s': %s", path,
                       strerror(errno));
    if (!flock(lock, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB))
        return FR_OK;
    int why = errno;
    close(lock);
    if (why != EWOULDBLOCK)
        return fr_fail(err, FR_IO, "cannot lock '%s': %s", path, strerror(why));
    return fr_fail(err, FR_BUSY, "backups in '%s' are being worked on by another process", place->path);
}

void backup_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* ---- what there is ---- */

bool backup_is_gone(const struct backup_place *place, const struct backup *backup)
{
    char path[PATH_BYTES_MAX];

    return access(path_of(path, "%s/" LIST_NAME, place->path, backup->id), F_OK) != 0 && errno == ENOENT;
}

int backup_glance(const struct backup_place *place, const struct backup *backup, struct fr_err *err)
{
    char path[PATH_BYTES_MAX];
    struct stat found;

    for (size_t i = 0; i < backup->files_len; i++) {
        const struct backup_file *file = &backup->files[i];
        if (stat(backup_file_path(path, place, file), &found))
            return errno == ENOENT ? fr_fail(err, FR_CORRUPT, "%s is missing: %s", file->name, strerror(errno))
                                   : fr_fail(err, file_is_lost(errno) ? FR_CORRUPT : FR_IO, "cannot look at %s: %s", file->name, strerror(errno));
        if ((uint64_t)found.st_size != file->size)
            return fr_fail(err, FR_CORRUPT, "%s has %lld bytes, not %" PRIu64, file->name, (long long)found.st_size, file->size);
    }
    return FR_OK;
}

static int read_one(const struct backup_place *place, const char *name, struct backup *ret_backup, struct fr_err *err)
{
    char path[PATH_BYTES_MAX], *text;
    struct fr_err seen;
    size_t len;
    int status = file_read(path_of(path, "%s/%s", place->path, name), &text, &len, err);

    if (status && status != FR_CORRUPT)
        return status;
    *ret_backup = (struct backup){0};
    if (status) {
        snprintf(ret_backup->problem, sizeof(ret_backup->problem), "the disk has lost its list '%s'", name);
    } else {
        if (!backup_read((struct fr_bytes){text, len}, ret_backup))
            snprintf(ret_backup->problem, sizeof(ret_backup->problem), "its list '%s' is damaged, or of a later version", name);
        free(text);
    }
    ret_backup->id = id_of(name);
    if (backup_glance(place, ret_backup, &seen))
        snprintf(ret_backup->problem, sizeof(ret_backup->problem), "%.*s", (int)sizeof(ret_backup->problem) - 1, seen.text);
    return FR_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct backup *left = a, *right = b;

    return (left->id < right->id) - (left->id > right->id);
}

int backup_list(const struct backup_place *place, struct backup_list *ret_list, struct fr_err *err)
{
    struct backup_list list = {0};
    size_t cap = 0;
    struct names names;
    int status = names_read(place->path, &names, err);

    if (status == FR_NOT_FOUND)
        status = FR_OK;
    for (size_t i = 0; i < names.len && !status; i++) {
        struct backup backup;
        if (!id_of(names.at[i]))
            continue;
        status = read_one(place, names.at[i], &backup, err);
        if (status == FR_NOT_FOUND) { /* gone since */
            status = FR_OK;
            continue;
        }
        if (status)
            break;
        fr_reserve((void **)&list.at, &cap, list.len + 1, sizeof(*list.at));
        list.at[list.len++] = backup;
    }
    names_release(&names);
    if (status) {
        backup_list_release(&list);
        return status;
    }
    if (list.len)
        qsort(list.at, list.len, sizeof(*list.at), newest_first);
    *ret_list = list;
    return FR_OK;
}

void backup_list_release(struct backup_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        backup_release(&list->at[i]);
    free(list->at);
    *list = (struct backup_list){0};
}

/* ---- removing ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The names of all files that a list names, sorted. */
static char (*named_files(const struct backup_list *list, size_t *ret_len))[HASH_NAME_MAX]
{
    size_t len = 0, at = 0;

    for (size_t b = 0; b < list->len; b++)
        len += list->at[b].files_len;
    char(*names)[HASH_NAME_MAX] = fr_zalloc(len + 1, sizeof(*names));
    for (size_t b = 0; b < list->len; b++)
        for (size_t f = 0; f < list->at[b].files_len; f++)
            hash_name(names[at++], &list->at[b].files[f]);
    qsort(names, len, sizeof(*names), by_text);
    *ret_len = len;
    return names;
}

static bool is_half_made(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && !strcmp(name + len - 4, ".tmp");
}

/* Can each list be read? One of a later version, or a damaged one, may name any file. */
static bool all_named(const struct backup_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        if (*list->at[i].problem && !list->at[i].files_len)
            return false;
    return true;
}

/* Under the lock. `all`: a list that cannot be read names nothing; else, as long as there is one, only what is half made goes. */
static int sweep(const struct backup_place *place, bool all, struct fr_err *err)
{
    char folder[PATH_BYTES_MAX], path[PATH_BYTES_MAX];
    struct backup_list list;
    struct names names;
    int status = backup_list(place, &list, err);

    if (status)
        return status;
    status = names_read(path_of(folder, "%s/files", place->path), &names, err);
    size_t kept_len;
    char(*kept)[HASH_NAME_MAX] = named_files(&list, &kept_len);
    all = all || all_named(&list);
    for (size_t i = 0; i < names.len; i++)
        if ((all || is_half_made(names.at[i])) && !bsearch(names.at[i], kept, kept_len, sizeof(*kept), by_text))
            unlink(path_of(path, "%s/%s", folder, names.at[i]));
    free(kept);
    names_release(&names);
    backup_list_release(&list);
    return status;
}

int backup_sweep(const struct backup_place *place, struct fr_err *err)
{
    char folder[PATH_BYTES_MAX];
    int lock, status;

    if (access(path_of(folder, "%s/files", place->path), F_OK) && errno == ENOENT)
        return FR_OK; /* no backup was ever begun there: nor is the lock made */
    status = backup_lock(place, true, &lock, err);
    if (status)
        return status;
    status = sweep(place, false, err);
    backup_unlock(lock);
    return status;
}

/* Keeps the newest `keep` that seem usable, and of the others what is younger than the oldest of them. */
static int purge(const struct backup_place *place, uint32_t keep, struct fr_err *err)
{
    char path[PATH_BYTES_MAX];
    struct backup_list list;
    uint32_t kept = 0;
    int status = backup_list(place, &list, err);

    if (status)
        return status;
    for (size_t i = 0; i < list.len; i++) {
        if (kept < keep)
            kept += !*list.at[i].problem;
        else
            unlink(path_of(path, "%s/" LIST_NAME, place->path, list.at[i].id));
    }
    backup_list_release(&list);
    return directory_sync(place->path, err);
}

/* ---- making ---- */

static bool belongs(const char *name)
{
    return strncmp(name, "LOG", 3) && strcmp(name, "LOCK"); /* LOG, LOG.old.123: for people */
}

/* On the disk of the store, which needs room to go on: the reserve, and as much again as its gate takes to open (engine/disk_gate.c). One of
 * their own backups may fill. */
static int find_room(const struct backup_place *place, const struct backup_request *request, uint64_t bytes, struct fr_err *err)
{
    struct stat here, there;
    struct statvfs disk;

    if (!request->reserve || stat(place->path, &here) || stat(request->frozen, &there) || here.st_dev != there.st_dev ||
        statvfs(place->path, &disk))
        return FR_OK;
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize, keep = request->reserve + request->reserve / 4;
    if (left >= bytes && left - bytes >= keep)
        return FR_OK;
    return fr_fail(err, FR_FULL, "the disk of '%s' is too full: a file of %" PRIu64 " bytes would leave less than the %" PRIu64
                   " that stay free", place->path, bytes, keep);
}

/* Puts one file of the frozen copy among the others, or finds it there. */
static int place_file(const struct backup_place *place, const struct backup_request *request, struct backup_file *file,
                      uint64_t *written, struct fr_err *err)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX], temporary[PATH_BYTES_MAX];
    struct backup_file found;
    int status = file_copy(path_of(from, "%s/%s", request->frozen, file->name), NULL, place->stop, file, err);

    if (status)
        return status;
    backup_file_path(to, place, file);
    status = file_copy(to, NULL, place->stop, &found, NULL);
    if (status == FR_CLOSED)
        return fr_fail(err, FR_CLOSED, "stopped");
    if (!status && backup_file_same(&found, file))
        return FR_OK;
    status = find_room(place, request, file->size, err);
    if (status)
        return status;
    status = file_copy(from, path_of(temporary, "%s.tmp", to), place->stop, &found, err);
    if (!status && !backup_file_same(&found, file))
        status = fr_fail(err, FR_IO, "'%s' is not the same when it is read again", from);
    fr_crash_point("backup.copied");
    if (!status)
        status = file_rename(temporary, to, err);
    *written += file->size;
    return status;
}

static int place_files(const struct backup_place *place, const struct backup_request *request, struct backup *backup,
                       uint64_t *written, struct fr_err *err)
{
    char folder[PATH_BYTES_MAX];
    struct names names;
    int status = names_read(request->frozen, &names, err);

    for (size_t i = 0; i < names.len && !status; i++) {
        struct backup_file file = {0};
        if (!belongs(names.at[i]))
            continue;
        snprintf(file.name, sizeof(file.name), "%s", names.at[i]);
        status = place_file(place, request, &file, written, err);
        fr_reserve((void **)&backup->files, &backup->files_cap, backup->files_len + 1, sizeof(file));
        backup->files[backup->files_len++] = file;
    }
    names_release(&names);
    return status ? status : directory_sync(path_of(folder, "%s/files", place->path), err);
}

static int write_list(const struct backup_place *place, const struct backup *backup, struct fr_err *err)
{
    char name[BACKUP_LIST_NAME_MAX];
    struct fr_writer text;
    struct backup again = {0};

    fr_writer_init(&text, 0);
    backup_write(&text, backup);
    int status = backup_read(fr_written(&text), &again)
                     ? FR_OK
                     : fr_fail(err, FR_INTERNAL, "the list of backup %" PRIu64 " could not be read back", backup->id);
    backup_release(&again);
    snprintf(name, sizeof(name), LIST_NAME, backup->id);
    if (!status)
        status = file_write(place->path, name, fr_written(&text), err);
    fr_writer_release(&text);
    return status;
}

static int next_id(const struct backup_place *place, uint64_t *ret_id, struct fr_err *err)
{
    struct backup_list list;
    int status = backup_list(place, &list, err);

    if (status)
        return status;
    *ret_id = list.len ? list.at[0].id + 1 : 1;
    backup_list_release(&list);
    return FR_OK;
}

/* Under the lock. */
static int make(const struct backup_place *place, const struct backup_request *request, struct backup_made *made,
                struct fr_err *err)
{
    struct backup backup = {.made = request->made};
    int status = next_id(place, &backup.id, err);

    snprintf(backup.version, sizeof(backup.version), "%s", request->version);
    if (!status)
        status = backup_survey(request->frozen, place->stop, &backup, err);
    fr_crash_point("backup.surveyed");
    if (!status)
        status = place_files(place, request, &backup, &made->written, err);
    if (status == FR_CORRUPT)
        fr_while(err, "the store itself is damaged, no backup was made: ");
    fr_crash_point("backup.placed");
    if (!status)
        status = write_list(place, &backup, err);
    fr_crash_point("backup.listed");
    made->id = backup.id;
    backup_release(&backup);
    return status;
}

int backup_make(const struct backup_place *place, const struct backup_request *request, struct backup_made *ret_made,
                struct fr_err *err)
{
    char folder[PATH_BYTES_MAX];
    struct backup_made made = {0};
    int lock, status = directory_make(path_of(folder, "%s/files", place->path), err);

    if (!status)
        status = backup_lock(place, true, &lock, err);
    if (status)
        return status;
    status = make(place, request, &made, err);
    if (!status)
        status = purge(place, request->keep ? request->keep : 1, err);
    fr_crash_point("backup.purged");
    /* After a failure too, so that it leaves no files; the error told is the first one. */
    int swept = sweep(place, true, status ? NULL : err);
    fr_crash_point("backup.swept");
    backup_unlock(lock);
    if (!status && !swept)
        *ret_made = made;
    return status ? status : swept;
}
