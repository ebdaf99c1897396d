/*
 * read_file.c -- a small file as a whole.
 */
#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Does it stay so until somebody does something about this file? */
static enum fr_status class_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO: /* a socket */
        return FR_CONFIG;
    default:
        return FR_IO;
    }
}

static int cannot(const char *path, int error, struct fr_err *err)
{
    return fr_fail(err, class_of(error), "cannot read '%s': %s", path, strerror(error));
}

static int read_all(int fd, const char *path, size_t max, struct fr_writer *out, struct fr_err *err)
{
    char room[4096];
    ssize_t got;

    while ((got = read(fd, room, sizeof room)) > 0 && out->len <= max)
        fr_put_bytes(out, room, (size_t)got);
    int error = errno;
    explicit_bzero(room, sizeof room); /* it may have been a key */
    if (got < 0)
        return cannot(path, error, err);
    if (out->len > max)
        return fr_fail(err, FR_CONFIG, "'%s' has more than %zu bytes", path, max);
    return FR_OK;
}

int read_file(const char *path, size_t max, struct fr_writer *out, struct fr_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status; /* NONBLOCK: nobody may ever write to a pipe */
    struct stat stat;

    if (fd < 0)
        return cannot(path, errno, err);
    fr_writer_init(out, 0);
    if (fstat(fd, &stat) != 0)
        status = cannot(path, errno, err);
    else if (!S_ISREG(stat.st_mode))
        status = fr_fail(err, FR_CONFIG, "cannot read '%s': it is no regular file", path);
    else
        status = read_all(fd, path, max, out, err);
    close(fd);
    if (status != FR_OK)
        fr_writer_release(out);
    return status;
}
