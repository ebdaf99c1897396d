/*
 * rebuild.c -- see rebuild.h. The old store stays, under another name, until somebody removes it.
 *
 *     REBUILD made | store renamed to store.before-rebuild | new store open | REBUILD removed
 *
 * From the first bar to the last a start goes on with the rebuild, whether it is asked for one or not: a store that is gone would
 * otherwise be that of the newest backup. While store.before-rebuild is there beside REBUILD, what is in `store` is the new one.
 */
#include "rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "freshet/log.h"

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

bool rebuild_begun(const char *data)
{
    char mark[PATH_ROOM];

    return is_there(path_in(mark, data, "REBUILD"));
}

static int make_mark(const char *data, const char *mark, struct fr_err *err)
{
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return fr_fail(err, errno == ENOSPC ? FR_FULL : FR_IO, "cannot make '%s': %s", mark, strerror(errno));
    close(fd);
    return sync_directory(data, err);
}

int rebuild_begin(const char *data, struct fr_err *err)
{
    char mark[PATH_ROOM], store[PATH_ROOM], aside[PATH_ROOM];
    bool begun = rebuild_begun(data), kept = is_there(path_in(aside, data, "store.before-rebuild"));
    bool old = is_there(path_in(store, data, "store")) && !(begun && kept);

    if (old && kept)
        return fr_fail(err, FR_CONFIG, "cannot rebuild: '%s' is there from a rebuild before; move or remove it", aside);
    int status = begun ? FR_OK : make_mark(data, path_in(mark, data, "REBUILD"), err);
    if (status != FR_OK)
        return status;
    if (old && rename(store, aside) != 0)
        return fr_fail(err, FR_IO, "cannot rename '%s' to '%s': %s", store, aside, strerror(errno));
    fr_log(FR_WARN, "main", "rebuild.begins", FR_FIELDS(FR_TEXT("old_store", aside)),
           "replaying from feed.start into a new store; the old one stays at '%s'", aside);
    return sync_directory(data, err);
}

int rebuild_end(const char *data, struct fr_err *err)
{
    char mark[PATH_ROOM];

    if (unlink(path_in(mark, data, "REBUILD")) == 0)
        return sync_directory(data, err);
    return errno == ENOENT ? FR_OK : fr_fail(err, FR_IO, "cannot remove '%s': %s", mark, strerror(errno));
}
