/*
 * lock.c -- flock on a file in the data directory. The kernel lets go of it when the process ends, however it ends; the
 * file stays, with the number of its last holder in it.
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir -p */
static int make_directory(const char *path, struct fr_err *err)
{
    char part[PATH_MAX];
    struct stat status;

    if (strlen(path) >= sizeof part)
        return fr_fail(err, FR_CONFIG, "cannot use '%.80s...' as data directory: the path is too long", path);
    strcpy(part, path);
    for (char *at = part + 1;; at++) {
        char end = *at;

        if (end && end != '/')
            continue;
        *at = 0;
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return fr_fail(err, errno == ENOSPC ? FR_FULL : FR_IO, "cannot make data directory '%s': %s", part,
                           strerror(errno));
        if (!end)
            break;
        *at = end;
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return fr_fail(err, FR_IO, "cannot use '%s' as data directory: it is not a directory", path);
    return FR_OK;
}

int lock_take(int *ret_lock, const char *directory, struct fr_err *err)
{
    char path[PATH_MAX + 16], holder[32] = "";
    int fd, status = make_directory(directory, err);

    if (status != FR_OK)
        return status;
    snprintf(path, sizeof path, "%s/LOCK.freshet", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return fr_fail(err, errno == ENOSPC ? FR_FULL : FR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool held = errno == EWOULDBLOCK;

        if (held && read(fd, holder, sizeof holder - 1) > 0)
            holder[strcspn(holder, "\n")] = 0;
        status = held ? fr_fail(err, FR_BUSY, "data directory '%s' is held by another freshetd (process %s)", directory,
                                *holder ? holder : "unknown")
                      : fr_fail(err, FR_IO, "cannot lock '%s': %s", path, strerror(errno));
        close(fd);
        return status;
    }
    /* For people only: on a full disk the file may stay empty. */
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%ld\n", (long)getpid());
    *ret_lock = fd;
    return FR_OK;
}

void lock_release(int lock)
{
    close(lock);
}
