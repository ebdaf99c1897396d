/*
 * read_file.c -- a small file as a whole.
 */
#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *path, size_t max, struct fr_writer *out, struct fr_err *err)
{
    char room[4096];
    ssize_t got;

    while ((got = read(fd, room, sizeof room)) > 0 && out->len <= max)
        fr_put_bytes(out, room, (size_t)got);
    explicit_bzero(room, sizeof room); /* it may have been a key */
    if (got < 0)
        return fr_fail(err, FR_CONFIG, "cannot read '%s': %s", path, strerror(errno));
    if (out->len > max)
        return fr_fail(err, FR_CONFIG, "'%s' has more than %zu bytes", path, max);
    return FR_OK;
}

int read_file(const char *path, size_t max, struct fr_writer *out, struct fr_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status; /* NONBLOCK: nobody may ever write to a pipe */
    struct stat stat;

    if (fd < 0)
        return fr_fail(err, FR_CONFIG, "cannot read '%s': %s", path, strerror(errno));
    fr_writer_init(out, 0);
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        status = fr_fail(err, FR_CONFIG, "cannot read '%s': it is no regular file", path);
    else
        status = read_all(fd, path, max, out, err);
    close(fd);
    if (status != FR_OK)
        fr_writer_release(out);
    return status;
}
