/*
 * mark.c -- two slots of a file, written in turn, so that a torn write costs one of them.
 *
 *     at 0 and at 4096:   sequence u64 | number u64 | XXH3-64 of the 16 bytes before, u64      little endian
 *
 * The valid slot with the higher sequence counts. It is the sequence and not the number that grows: after a loss the number
 * goes back.
 */
#include "mark.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "freshet/codec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MARK "DURABLE.freshet"
#define PROBE "PROBE.freshet"

enum { SLOT = 24, APART = 4096, CHECKED = 16, PROBE_BYTES = 64 << 10 };

static int fail(struct fr_err *err, const char *what, const char *file)
{
    int code = errno == ENOSPC || errno == EDQUOT ? FR_FULL : FR_IO, number = errno;

    fr_fail(err, (enum fr_status)code, "cannot %s the store's %s: %s", what, file, strerror(number));
    if (err)
        err->retriable = true;
    return code;
}

static void read_slot(struct mark *mark, int slot)
{
    char bytes[SLOT];

    if (pread(mark->fd, bytes, SLOT, (off_t)slot * APART) != SLOT)
        return;
    struct fr_reader reader = fr_reader_of(bytes, SLOT);
    uint64_t sequence = fr_get_u64(&reader), number = fr_get_u64(&reader);
    if (fr_get_u64(&reader) != XXH3_64bits(bytes, CHECKED) || sequence <= mark->sequence)
        return;
    mark->sequence = sequence;
    mark->number = number;
}

/* So that the file itself survives a power cut. */
static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return failed;
}

int mark_open(struct mark *mark, const char *folder, struct fr_err *err)
{
    char path[PATH_MAX];

    *mark = (struct mark){.fd = -1};
    snprintf(path, sizeof(path), "%s/" MARK, folder);
    mark->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (mark->fd < 0 || sync_folder(folder) != 0) {
        int status = fail(err, "open", MARK);
        mark_close(mark);
        return status;
    }
    read_slot(mark, 0);
    read_slot(mark, 1);
    return FR_OK;
}

void mark_close(struct mark *mark)
{
    if (mark->fd >= 0)
        close(mark->fd);
    mark->fd = -1;
}

int mark_write(struct mark *mark, uint64_t number, struct fr_err *err)
{
    struct fr_writer out;
    uint64_t sequence = mark->sequence + 1;
    int status = FR_OK;

    if (mark->fd < 0)
        return fr_fail(err, FR_CLOSED, "the store is closed after an error");
    fr_writer_init(&out, 0);
    fr_put_u64(&out, sequence);
    fr_put_u64(&out, number);
    fr_put_u64(&out, XXH3_64bits(out.at, CHECKED));
    errno = EIO; /* what a short write leaves unsaid */
    if (pwrite(mark->fd, out.at, SLOT, (off_t)(sequence % 2) * APART) != SLOT || fdatasync(mark->fd) != 0) {
        status = fail(err, "write", MARK);
    } else {
        mark->sequence = sequence;
        mark->number = number;
    }
    fr_writer_release(&out);
    return status;
}

int mark_probe(const char *folder, struct fr_err *err)
{
    static const char nothing[PROBE_BYTES];
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/" PROBE, folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    errno = fd < 0 ? errno : EIO;
    bool good = fd >= 0 && write(fd, nothing, sizeof(nothing)) == sizeof(nothing) && fsync(fd) == 0;
    int status = good ? FR_OK : fail(err, "write", PROBE);
    if (fd >= 0)
        close(fd);
    unlink(path);
    return status;
}
