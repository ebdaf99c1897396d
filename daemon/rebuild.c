/*
 * rebuild.c -- see rebuild.h. The old store stays, under another name, until somebody removes it.
 *
 *     REBUILD made, and which directory the old store is put into it | store renamed to store.before-rebuild | REBUILD says `renamed` |
 *     new store open | REBUILD removed
 *
 * From the first bar to the last a start goes on with the rebuild, whether it is asked for one or not: a store that is gone would
 * otherwise be that of the newest backup. While store.before-rebuild is there beside REBUILD, what is in `store` is the new one. If it is not
 * there, REBUILD says `renamed`, and `store` is the directory that is in REBUILD, somebody has put the old store back. A start that cannot
 * have REBUILD say `renamed` puts it back itself.
 *
 * What remains: killed between the second bar and the third, and the old store put back by hand before a later start made up for the third,
 * looks like killed before the rename. It is set aside once more; nothing is lost.
 */
#include "rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freshet/log.h"

#define ASIDE "store.before-rebuild"

enum { PATH_ROOM = 4352, MARK_ROOM = 128 };

/* What REBUILD holds. One of a version before has no directory in it: it is empty, or holds the name alone once that is renamed. */
struct mark {
    bool names_old, renamed;
    unsigned long long device, inode; /* of the old store; 0 0, which no directory has: it is gone, and its numbers may be another's */
};

static const char *path_in(char room[PATH_ROOM], const char *data, const char *name)
{
    snprintf(room, PATH_ROOM, "%s/%s", data, name);
    return room;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static int sync_directory(const char *path, struct fr_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = FR_OK;

    if (fd < 0 || fsync(fd) != 0)
        status = fr_fail(err, FR_IO, "cannot sync '%s': %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

static int cannot(const char *what, const char *path, struct fr_err *err)
{
    return fr_fail(err, errno == ENOSPC ? FR_FULL : FR_IO, "cannot %s '%s': %s", what, path, strerror(errno));
}

/* False: there is none. One that was cut short says no more than an empty one. */
static bool read_mark(const char *path, struct mark *mark)
{
    char text[MARK_ROOM] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC), end = 0;

    *mark = (struct mark){0};
    if (fd < 0)
        return is_there(path);
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    if (sscanf(text, ASIDE " %llu %llu%n", &mark->device, &mark->inode, &end) == 2) {
        mark->names_old = true;
        mark->renamed = strncmp(text + end, "\nrenamed\n", 9) == 0;
    } else {
        mark->renamed = strcmp(text, ASIDE "\n") == 0;
    }
    return true;
}

/* In place, and the same bytes first: one that is cut short still has what it had. */
static int write_mark(const char *path, const struct mark *mark, struct fr_err *err)
{
    char text[MARK_ROOM] = "";
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640), size = 0, status = FR_OK;
    ssize_t written;

    if (fd < 0)
        return cannot("make", path, err);
    if (mark->names_old)
        size = snprintf(text, sizeof text, ASIDE " %llu %llu\n%s", mark->device, mark->inode, mark->renamed ? "renamed\n" : "");
    written = size ? write(fd, text, (size_t)size) : 0;
    if (written >= 0 && written < size)
        errno = ENOSPC;
    if (written != size || ftruncate(fd, size) != 0 || fsync(fd) != 0)
        status = cannot("write", path, err);
    close(fd);
    return status;
}

static int name_old(struct mark *mark, const char *old, struct fr_err *err)
{
    struct stat found;

    if (stat(old, &found) != 0)
        return cannot("look at", old, err);
    mark->names_old = true;
    mark->device = found.st_dev;
    mark->inode = found.st_ino;
    return FR_OK;
}

static bool is_named(const struct mark *mark, const char *store)
{
    struct stat found;

    return stat(store, &found) == 0 && found.st_dev == mark->device && found.st_ino == mark->inode;
}

/* Or may not be looked into. */
static bool holds_database(const char *data)
{
    char current[PATH_ROOM];

    return is_there(path_in(current, data, "store/CURRENT")) || (errno != ENOENT && errno != ENOTDIR);
}

static bool is_put_back(const char *data, const struct mark *mark)
{
    char path[PATH_ROOM];

    return mark->renamed && !is_there(path_in(path, data, ASIDE)) && holds_database(data) &&
           (!mark->names_old || is_named(mark, path_in(path, data, "store")));
}

int rebuild_look(const char *data, bool *ret_begun, struct fr_err *err)
{
    char path[PATH_ROOM], aside[PATH_ROOM];
    struct mark mark;
    int status;

    *ret_begun = read_mark(path_in(path, data, "REBUILD"), &mark);
    if (!*ret_begun || !is_put_back(data, &mark))
        return FR_OK;
    status = rebuild_end(data, err);
    if (status != FR_OK)
        return status;
    *ret_begun = false;
    fr_log(FR_WARN, "main", "rebuild.taken_back", FR_NO_FIELDS,
           "a rebuild was begun and did not get through; '%s' is gone from where it was set aside, and there is a store: it is taken for the "
           "old one, and the rebuild is given up",
           path_in(aside, data, ASIDE));
    return FR_OK;
}

static void tell_begun(const char *aside)
{
    if (is_there(aside))
        fr_log(FR_WARN, "main", "rebuild.begins", FR_FIELDS(FR_TEXT("old_store", aside)),
               "replaying from feed.start into a new store; the old one stays at '%s'", aside);
    else
        fr_log(FR_WARN, "main", "rebuild.begins", FR_NO_FIELDS, "replaying from feed.start into a new store; there is no old one");
}

/* The old store has its new name, for good: only then does the mark say so. */
static int note_renamed(const char *data, const char *path, struct mark *mark, struct fr_err *err)
{
    int status = sync_directory(data, err);

    mark->renamed = true;
    return status == FR_OK ? write_mark(path, mark, err) : status;
}

/* All of it or nothing: an old store that is put back by hand must not be set aside again. */
static int set_aside(const char *data, const char *path, struct mark *mark, struct fr_err *err)
{
    char store[PATH_ROOM], aside[PATH_ROOM];
    int status;

    if (rename(path_in(store, data, "store"), path_in(aside, data, ASIDE)) != 0)
        return fr_fail(err, FR_IO, "cannot rename '%s' to '%s': %s", store, aside, strerror(errno));
    status = note_renamed(data, path, mark, err);
    if (status != FR_OK && rename(aside, store) == 0) {
        mark->renamed = false;
        write_mark(path, mark, NULL); /* it may say so all the same */
        sync_directory(data, NULL);
    }
    return status;
}

/* Before anything is renamed. */
static int make_mark(const char *data, const char *path, struct mark *mark, const char *old, struct fr_err *err)
{
    int status = old ? name_old(mark, old, err) : FR_OK;

    if (status == FR_OK)
        status = write_mark(path, mark, err);
    return status == FR_OK ? sync_directory(data, err) : status;
}

/* `kept`: the old store is where it is set aside. */
static int go_on(const char *data, const char *path, struct mark *mark, const char *aside, bool kept, struct fr_err *err)
{
    int status = FR_OK;

    if (kept && !mark->renamed) {
        status = name_old(mark, aside, err);
        return status == FR_OK ? note_renamed(data, path, mark, err) : status;
    }
    if (!kept && mark->renamed && mark->names_old && mark->inode) { /* the new store may get the same numbers */
        mark->device = mark->inode = 0;
        status = write_mark(path, mark, err);
    }
    return status;
}

int rebuild_begin(const char *data, struct fr_err *err)
{
    char path[PATH_ROOM], store[PATH_ROOM], aside[PATH_ROOM];
    struct mark mark;
    bool begun = read_mark(path_in(path, data, "REBUILD"), &mark), kept = is_there(path_in(aside, data, ASIDE));
    bool old = is_there(path_in(store, data, "store")) && !mark.renamed && !(begun && kept);
    int status = FR_OK;

    if (old && kept)
        return fr_fail(err, FR_CONFIG, "cannot rebuild: '%s' is there from a rebuild before; move or remove it", aside);
    if (!begun || old)
        status = make_mark(data, path, &mark, old ? store : NULL, err);
    if (status == FR_OK && old)
        status = set_aside(data, path, &mark, err);
    else if (status == FR_OK && begun)
        status = go_on(data, path, &mark, aside, kept, err);
    if (status != FR_OK && !begun && is_there(store) == old)
        rebuild_end(data, NULL); /* nothing has changed: no start shall go on with this one */
    if (status == FR_OK)
        tell_begun(aside);
    return status;
}

int rebuild_end(const char *data, struct fr_err *err)
{
    char mark[PATH_ROOM];

    if (unlink(path_in(mark, data, "REBUILD")) == 0)
        return sync_directory(data, err);
    return errno == ENOENT ? FR_OK : fr_fail(err, FR_IO, "cannot remove '%s': %s", mark, strerror(errno));
}
