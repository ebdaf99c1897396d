/*
 * rebuild.c -- see rebuild.h. The old store stays, under another name, until somebody removes it.
 *
 *     REBUILD made | store renamed to store.before-rebuild | that name put into REBUILD | new store open | REBUILD removed
 *
 * From the first bar to the last a start goes on with the rebuild, whether it is asked for one or not: a store that is gone would
 * otherwise be that of the newest backup. While store.before-rebuild is there beside REBUILD, what is in `store` is the new one. If it is not
 * there, and REBUILD has its name, somebody has put the old store back.
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

enum { PATH_ROOM = 4352 };

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

static int make_mark(const char *data, const char *mark, struct fr_err *err)
{
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return cannot("make", mark, err);
    close(fd);
    return sync_directory(data, err);
}

/* The old store has its new name, for good. */
static int note_renamed(const char *mark, struct fr_err *err)
{
    static const char line[] = ASIDE "\n";
    int fd = open(mark, O_WRONLY | O_CLOEXEC), status = FR_OK;

    if (fd < 0 || write(fd, line, sizeof(line) - 1) != (ssize_t)sizeof(line) - 1 || fsync(fd) != 0)
        status = cannot("write", mark, err);
    if (fd >= 0)
        close(fd);
    return status;
}

static bool notes_renamed(const char *mark)
{
    struct stat found;

    return stat(mark, &found) == 0 && found.st_size > 0;
}

/* Or may not be looked into. */
static bool holds_database(const char *data)
{
    char current[PATH_ROOM];

    return is_there(path_in(current, data, "store/CURRENT")) || (errno != ENOENT && errno != ENOTDIR);
}

int rebuild_look(const char *data, bool *ret_begun, struct fr_err *err)
{
    char mark[PATH_ROOM], aside[PATH_ROOM];
    int status;

    *ret_begun = is_there(path_in(mark, data, "REBUILD"));
    if (!*ret_begun || !notes_renamed(mark) || is_there(path_in(aside, data, ASIDE)) || !holds_database(data))
        return FR_OK;
    status = rebuild_end(data, err);
    if (status != FR_OK)
        return status;
    *ret_begun = false;
    fr_log(FR_WARN, "main", "rebuild.taken_back", FR_NO_FIELDS,
           "a rebuild was begun and did not get through; '%s' is gone from where it was set aside, and there is a store: it is taken for the "
           "old one, and the rebuild is given up",
           aside);
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

int rebuild_begin(const char *data, struct fr_err *err)
{
    char mark[PATH_ROOM], store[PATH_ROOM], aside[PATH_ROOM];
    bool begun = is_there(path_in(mark, data, "REBUILD")), noted = begun && notes_renamed(mark);
    bool kept = is_there(path_in(aside, data, ASIDE)), old = is_there(path_in(store, data, "store")) && !noted && !(begun && kept);
    int status = FR_OK;

    if (old && kept)
        return fr_fail(err, FR_CONFIG, "cannot rebuild: '%s' is there from a rebuild before; move or remove it", aside);
    if (!begun)
        status = make_mark(data, mark, err);
    if (status == FR_OK && old && rename(store, aside) != 0)
        status = fr_fail(err, FR_IO, "cannot rename '%s' to '%s': %s", store, aside, strerror(errno));
    if (status != FR_OK && !begun)
        rebuild_end(data, NULL); /* nothing has changed: no start shall go on with this one */
    if (status == FR_OK)
        status = sync_directory(data, err); /* before the mark says so */
    if (status == FR_OK && !noted && (old || (begun && kept)))
        status = note_renamed(mark, err);
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
