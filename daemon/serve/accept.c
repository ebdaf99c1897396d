/*
 * accept.c -- connections are taken only while files are left for others, and never for the last time.
 *
 * gRPC-core 1.51 closes a listener for good when accept4 fails once (tcp_server_posix.cc, on_read): whoever opens as many
 * connections as the process may have files has silenced the port, long after he has gone. It has no limit of its own to
 * prevent that, and its listeners are not ours to hold. But it calls accept4 by name, and a program's own comes before
 * libc's: this one.
 *
 *     accepted, number below the limit     taken
 *     accepted, number at or above it      closed at once; the next one
 *     any error                            EAGAIN: nothing to accept now, come back when somebody knocks
 *
 * A new file gets the lowest free number, so one of `limit` says that at least so many are open: no count to keep.
 * libmicrohttpd's connections come this way too, and for them it is the same.
 *
 * Thread: any.
 */
#include "accept.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "freshet/metric.h"

static _Atomic int files_max = INT_MAX;

void accept_begin(void)
{
    struct rlimit limit;

    fr_count(FR_SERIES(FR_M_CONNECTIONS_REFUSED), 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
        atomic_store(&files_max, (int)(limit.rlim_cur - limit.rlim_cur / 4)); /* the rest is for the store and Kafka */
}

/* Not as in <sys/socket.h>, which is not included here: there the second argument is a union of pointers. */
int accept4(int listener, void *address, void *address_len, int flags);

int accept4(int listener, void *address, void *address_len, int flags)
{
    for (;;) {
        int fd = (int)syscall(SYS_accept4, listener, address, address_len, flags);

        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            errno = EAGAIN;
            return -1;
        }
        if (fd < atomic_load(&files_max))
            return fd;
        close(fd);
        fr_count(FR_SERIES(FR_M_CONNECTIONS_REFUSED), 1);
    }
}
