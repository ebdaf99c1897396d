/*
 * log_write.c -- a line's way to stderr. Nobody is waited for: a reader that stands still must stop nothing but the log.
 *
 *     a file, /dev/null    one write(2)
 *     a pipe               pieces of at most PIPE_BUF with RWF_NOWAIT, or after poll: what polls as writable takes that much
 *     a socket             send(2) with MSG_DONTWAIT
 *     a terminal           opened anew with O_NONBLOCK: set on stderr itself it would hold for our parent's shell too
 *
 *     line 1 | line 2 | li          full: line 3 and those after it are counted
 *     \n log.dropped | line 7 |     room again: the cut one is ended, the count told, and the log goes on
 *
 * The lock keeps pieces of a line together, and is not held by who may have to wait: for a file it is not taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base_private.h"
#include "freshet/codec.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t dropped; /* lines since the last one that was written */
static bool cut;         /* what was written last is no whole line; it is among the dropped */

enum reader { TAKES_ALL, PIPE, SOCKET, TERMINAL };

static enum reader reader_of_stderr(void)
{
    struct stat stat;

    if (fstat(STDERR_FILENO, &stat))
        return TAKES_ALL;
    if (S_ISFIFO(stat.st_mode))
        return PIPE;
    if (S_ISSOCK(stat.st_mode))
        return SOCKET;
    return isatty(STDERR_FILENO) ? TERMINAL : TAKES_ALL;
}

/* Those that cannot be asked not to wait are asked whether they would; true of any system where pwritev2 is refused. */
static ssize_t write_polled(int fd, const char *at, size_t len)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    if (poll(&room, 1, 0) > 0)
        return write(fd, at, len);
    errno = EAGAIN;
    return -1;
}

/* As write(2), with EAGAIN where that would wait. `own`: the file descriptor does not wait by itself. */
static ssize_t write_some(int fd, bool own, enum reader reader, const char *at, size_t len)
{
    struct iovec piece = {(char *)at, len < PIPE_BUF ? len : PIPE_BUF};
    ssize_t written;

    if (reader == SOCKET)
        return send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (own)
        return write(fd, at, len);
    if (reader == PIPE) {
        written = pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
        if (written >= 0 || errno == EAGAIN || errno == EINTR || errno == EPIPE)
            return written;
    }
    return write_polled(fd, at, piece.iov_len);
}

/* False when there is no room for all of it. Where nobody is there at all, nobody misses it. */
static bool push(int fd, bool own, enum reader reader, const char *at, size_t len)
{
    size_t before = len;

    while (len) {
        ssize_t written = write_some(fd, own, reader, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            cut = cut || len < before;
            return false;
        }
        if (written <= 0)
            break;
        at += written;
        len -= (size_t)written;
    }
    cut = false;
    return true;
}

static bool push_dropped(int fd, bool own, enum reader reader)
{
    struct fr_writer out;
    bool pushed;

    fr_writer_init(&out, 0);
    if (cut)
        fr_put_u8(&out, '\n');
    log_put_dropped(&out, dropped);
    pushed = push(fd, own, reader, out.at, out.len);
    fr_writer_release(&out);
    return pushed;
}

/* A file: it takes what it is given, or has no room for it for good. */
static void write_file(const char *at, size_t len)
{
    while (len) {
        ssize_t written = write(STDERR_FILENO, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        at += written;
        len -= (size_t)written;
    }
}

uint64_t log_write(const char *at, size_t len, uint64_t lines)
{
    enum reader reader = reader_of_stderr();
    int own = -1, fd;
    uint64_t told = 0;

    if (reader == TAKES_ALL) {
        write_file(at, len);
        return 0;
    }
    pthread_mutex_lock(&lock);
    if (reader == TERMINAL) /* one of another user, or without a file descriptor free: poll is all there is */
        own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    fd = own >= 0 ? own : STDERR_FILENO;
    if (dropped && push_dropped(fd, own >= 0, reader)) {
        told = dropped;
        dropped = 0;
    }
    if (dropped || !push(fd, own >= 0, reader, at, len))
        dropped += lines;
    if (own >= 0)
        close(own);
    pthread_mutex_unlock(&lock);
    return told;
}
