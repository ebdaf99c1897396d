/*
 * backup_restore.c -- a backup read back: to see if it is good, and to make a store of it.
 *
 * Verifying reads every file and compares its hash, then lets RocksDB read the state in a folder of links to them and compares
 * the digest of each part with the one taken when the backup was made. Restoring does the same with the copies it makes. So what a
 * restore puts in place has been read back whole, from where it will be used.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup_private.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"

#define MARK "RESTORED.freshet"

enum { PROBLEMS_MAX = 64 << 10 };

__attribute__((format(printf, 2, 3))) static void note(struct fr_writer *problems, const char *format, ...)
{
    char line[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (problems->len < PROBLEMS_MAX)
        fr_put_text(problems, "%s\n", line);
}

static int damaged(const struct backup *backup, const struct fr_writer *problems, struct fr_err *err)
{
    size_t len = problems->len ? strcspn(problems->at, "\n") : 0;

    return fr_fail(err, FR_CORRUPT, "backup %" PRIu64 " is damaged: %.*s", backup->id, (int)len, problems->at);
}

/* Notes what is the backup's own fault: a file that is not there or cannot be read whole, a database that is not one. Any other
 * error is passed on, since it says nothing of the backup: the next one would fare no better, and this one may be good. */
static int judge(int status, const struct fr_err *why, struct fr_writer *problems, struct fr_err *err)
{
    if (status == FR_NOT_FOUND || status == FR_CORRUPT) {
        note(problems, "%s", why->text);
        return FR_OK;
    }
    if (status && err)
        *err = *why;
    return status;
}

/* ---- files ---- */

/* Reads each file, notes and marks what differs; or copies it to `folder` unless that is NULL, up to the first that does. */
static int read_files(const struct backup_place *place, const struct backup *backup, const char *folder,
                      struct fr_writer *problems, struct fr_err *err)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];

    for (size_t i = 0; i < backup->files_len && !(folder && problems->len); i++) {
        struct backup_file *file = &backup->files[i];
        struct backup_file found;
        struct fr_err why = {0};
        int copied = file_copy(backup_file_path(from, place, file), folder ? path_of(to, "%s/%s", folder, file->name) : NULL,
                               place->stop, &found, &why);
        bool differs = !copied && !backup_file_same(&found, file);
        if (copied)
            fr_while(&why, "%s: ", file->name);
        if (differs)
            note(problems, "%s differs from what was written ('%s')", file->name, from);
        int status = judge(copied, &why, problems, err);
        if (status)
            return status;
        file->bad = copied || differs;
        fr_crash_point("restore.copied");
    }
    return FR_OK;
}

/* ---- parts ---- */

static const struct backup_part *part_named(const struct backup *backup, const char *name)
{
    for (size_t i = 0; i < backup->parts_len; i++)
        if (!strcmp(backup->parts[i].name, name))
            return &backup->parts[i];
    return NULL;
}

static void compare_parts(const struct backup *backup, const struct backup *found, struct fr_writer *problems)
{
    for (size_t i = 0; i < backup->parts_len; i++) {
        const struct backup_part *want = &backup->parts[i], *got = part_named(found, want->name);
        if (!got)
            note(problems, "part %s is missing", want->name);
        else if (got->keys != want->keys)
            note(problems, "part %s has %" PRIu64 " keys, not %" PRIu64, want->name, got->keys, want->keys);
        else if (got->hash.high != want->hash.high || got->hash.low != want->hash.low)
            note(problems, "part %s differs", want->name);
    }
    for (size_t i = 0; i < found->parts_len; i++)
        if (!part_named(backup, found->parts[i].name))
            note(problems, "part %s is not of this backup", found->parts[i].name);
}

/* The state in the database `folder`, whose files are as they were written. */
static int read_parts(const struct backup_place *place, const struct backup *backup, const char *folder,
                      struct fr_writer *problems, struct fr_err *err)
{
    struct backup found = {0};
    struct fr_err why = {0};
    int status = backup_survey(folder, place->stop, &found, &why);

    if (status)
        status = judge(status, &why, problems, err);
    else
        compare_parts(backup, &found, problems);
    backup_release(&found);
    return status;
}

/* ---- verifying ---- */

static int link_files(const struct backup_place *place, const struct backup *backup, const char *folder, struct fr_err *err)
{
    char relative[PATH_BYTES_MAX], link[PATH_BYTES_MAX], *target;
    int status = FR_OK;

    for (size_t i = 0; i < backup->files_len && !status; i++) {
        target = realpath(backup_file_path(relative, place, &backup->files[i]), NULL);
        if (!target || symlink(target, path_of(link, "%s/%s", folder, backup->files[i].name)))
            status = fr_fail(err, FR_IO, "cannot link '%s' to '%s': %s", relative, folder, strerror(errno));
        free(target);
    }
    return status;
}

/* In a folder of its own, because a backup may lie where nothing can be written. */
static int verify_parts(const struct backup_place *place, const struct backup *backup, struct fr_writer *problems,
                        struct fr_err *err)
{
    const char *under = getenv("TMPDIR");
    char folder[PATH_BYTES_MAX];

    path_of(folder, "%s/freshet-verify-XXXXXX", under && *under ? under : "/tmp");
    if (!mkdtemp(folder))
        return fr_fail(err, errno == ENOSPC ? FR_FULL : FR_IO, "cannot make '%s': %s", folder, strerror(errno));
    int status = link_files(place, backup, folder, err);
    if (!status)
        status = read_parts(place, backup, folder, problems, err);
    directory_remove(folder, NULL);
    return status;
}

int backup_verify(const struct backup_place *place, const struct backup *backup, struct fr_writer *problems,
                  struct fr_err *err)
{
    size_t before = problems->len;
    int lock, status = backup_lock(place, false, &lock, err);

    if (status)
        return status;
    if (backup_is_gone(place, backup)) /* who made another one meanwhile took its files along: it is none that is damaged */
        status = fr_fail(err, FR_NOT_FOUND, "there is no backup %" PRIu64 " any more", backup->id);
    else if (*backup->problem && !backup->files_len)
        note(problems, "%s", backup->problem);
    else
        status = read_files(place, backup, NULL, problems, err);
    if (!status && problems->len == before)
        status = verify_parts(place, backup, problems, err);
    backup_unlock(lock);
    if (!status && problems->len > before)
        status = damaged(backup, problems, err);
    return status;
}

/* ---- restoring ---- */

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* store.damaged, or with the first number from 2 on that is free. */
int backup_set_aside(const char *data, struct fr_err *err)
{
    char store[PATH_BYTES_MAX], aside[PATH_BYTES_MAX];

    path_of(store, "%s/store", data);
    path_of(aside, "%s/store.damaged", data);
    for (unsigned n = 2; is_there(aside); n++)
        path_of(aside, "%s/store.damaged-%u", data, n);
    return file_rename(store, aside, err);
}

/* A store that was restored and has not been loaded since is no evidence: it is what the backup still holds. It goes once the other is
 * in its place, so that a backup that is good to the last byte and yet does not load leaves nothing, however often it is tried. */
static int put_away(const char *data, const char *store, const char *restoring, struct fr_err *err)
{
    char mark[PATH_BYTES_MAX];

    return is_there(path_of(mark, "%s/" MARK, store)) ? file_rename(store, restoring, err) : backup_set_aside(data, err);
}

int backup_restore_finish(const char *data, bool *ret_finished, struct fr_err *err)
{
    char ready[PATH_BYTES_MAX], store[PATH_BYTES_MAX], restoring[PATH_BYTES_MAX];
    int status = FR_OK;

    directory_remove(path_of(restoring, "%s/store.restoring", data), NULL); /* of one that was killed; it holds room and no more */
    *ret_finished = is_there(path_of(ready, "%s/store.restored", data));
    if (!*ret_finished)
        return FR_OK;
    if (is_there(path_of(store, "%s/store", data)))
        status = put_away(data, store, restoring, err);
    fr_crash_point("restore.aside");
    if (!status)
        status = file_rename(ready, store, err);
    fr_crash_point("restore.renamed");
    if (!status)
        status = directory_sync(data, err);
    if (!status)
        directory_remove(restoring, NULL);
    return status;
}

int backup_restore_loaded(const char *data, struct fr_err *err)
{
    char path[PATH_BYTES_MAX];

    if (!unlink(path_of(path, "%s/store/" MARK, data)))
        return directory_sync(path_of(path, "%s/store", data), err);
    return errno == ENOENT ? FR_OK : fr_fail(err, FR_IO, "cannot remove '%s': %s", path, strerror(errno));
}

static int mark(const struct backup *backup, const char *folder, struct fr_err *err)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", backup->id);

    return file_write(folder, MARK, (struct fr_bytes){text, (size_t)len}, err);
}

/* A whole, checked copy in `folder`, which is new. */
static int copy_out(const struct backup_place *place, const struct backup *backup, const char *folder, struct fr_err *err)
{
    struct fr_writer problems;
    struct fr_err why = {0};
    int status;

    fr_writer_init(&problems, 0);
    if (*backup->problem && !backup->files_len)
        note(&problems, "%s", backup->problem);
    status = judge(backup_glance(place, backup, &why), &why, &problems, err); /* before much is copied in vain */
    if (!status && !problems.len)
        status = read_files(place, backup, folder, &problems, err);
    if (!status && !problems.len)
        status = read_parts(place, backup, folder, &problems, err);
    if (!status && problems.len)
        status = damaged(backup, &problems, err);
    fr_writer_release(&problems);
    return status ? status : mark(backup, folder, err); /* which syncs the folder as well */
}

int backup_restore(const struct backup_place *place, const struct backup *backup, const char *data, struct fr_err *err)
{
    char folder[PATH_BYTES_MAX], ready[PATH_BYTES_MAX];
    bool finished;
    int lock, status = backup_lock(place, false, &lock, err);

    if (status)
        return status;
    path_of(folder, "%s/store.restoring", data);
    path_of(ready, "%s/store.restored", data);
    status = directory_remove(folder, err);
    if (!status)
        status = directory_remove(ready, err); /* of a restore that was killed, and is not wanted any more */
    if (!status)
        status = directory_make(folder, err);
    fr_crash_point("restore.begun");
    if (!status)
        status = copy_out(place, backup, folder, err);
    backup_unlock(lock);
    fr_crash_point("restore.checked");
    if (!status)
        status = file_rename(folder, ready, err);
    fr_crash_point("restore.ready");
    if (!status)
        status = directory_sync(data, err);
    if (!status)
        return backup_restore_finish(data, &finished, err);
    directory_remove(folder, NULL);
    return status;
}
