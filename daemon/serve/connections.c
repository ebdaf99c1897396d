/*
 * connections.c -- gRPC's sockets, from outside.
 *
 * A ceiling. gRPC-core 1.51 closes a listener for good when accept4 fails once (tcp_server_posix.cc, on_read): whoever
 * opens as many connections as the process may have files has silenced the port, long after he has gone. It has no
 * limit of its own to prevent that, and its listeners are not ours to hold. But it calls accept4 by name, and a
 * program's own comes before libc's: this one.
 *
 *     accepted, number below the limit     taken
 *     accepted, number at or above it      closed at once; the next one
 *     any error, listener gRPC's           EAGAIN: nothing to accept now, come back when somebody knocks
 *     any error, listener another's        as it is; that no file is left, after a pause
 *
 * A new file gets the lowest free number, so one of `limit` says that at least so many are open: no count to keep.
 * libmicrohttpd's connections come this way too. They have a limit of their own, and are not kept out by the callers of
 * gRPC: whether the daemon lives can be asked when nothing else can. When there is no file left it waits for one of its
 * connections to end, if it is told; told EAGAIN, it would ask again at once, and for ever. Without any connection it does so all the same:
 * so the pause.
 *
 * Turns. A thread that gRPC-core 1.51 reads with goes on reading a connection as long as there is something to read, and looks at nothing
 * that came of it before. Messages wait for windows, but other frames do not: calls begun only to be reset (CVE-2023-44487) take 12 KB each,
 * and come faster than they are taken apart. So by recvmsg and epoll_wait, which it calls by name as well, one that is read too long
 * without a pause is closed: READING_NS by the clock, which is cheap to ask, and from then on WORKING_NS of the thread's own time, which a
 * busy machine cannot make up.
 *
 *     recvmsg  recvmsg  recvmsg ...  connections_turn, epoll_wait   the thread has come back, or waits: a pause
 *     recvmsg  recvmsg  recvmsg ...  recvmsg, long after            closed
 *
 * Not every reader is a lane: gRPC hands reading to its executors, which neither turn nor wait here. Such a one closes only if it
 * worked more than it slept meanwhile: one that reads now and then takes days for the same.
 *
 * An end. A server of gRPC-core 1.51 that shuts down answers calls that come before its GOAWAY has arrived with
 * CANCELLED, which no retry policy repeats (server.cc, StartNewRpc, KillZombie). A connection that ends is UNAVAILABLE
 * to all calls on it, which every one does. So connections end first, the server after. They are found by their port:
 * nobody else's have it on this side.
 *
 *     answers, statuses, FIN ->        nothing is said any more
 *     <- whatever is on its way        read: a socket closed on what nobody has read, or shut for reading before it comes, sends RST.
 *                                      That takes back all that has not arrived yet, and a caller may miss it: gRPC's own then wait
 *                                      for ever (tcp_posix.cc, which goes by TCP_INQ; and that knows of FIN, not of RST)
 *     <- all has arrived (ACK)         closed
 *
 * Until then gRPC must not close, and it would if it could not write. So by sendmsg, which it calls by name too, what it says after the
 * end is thrown away.
 *
 * Thread: accept4, recvmsg, sendmsg, epoll_wait and connections_turn any; the others main's.
 */
#include "connections.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "freshet/clock.h"
#include "freshet/log.h"
#include "freshet/metric.h"

#define READING_NS UINT64_C(50000000)
#define WORKING_NS UINT64_C(100000000)
#define LINGER_NS UINT64_C(2000000000) /* a caller who is not there any more is not waited for longer */

enum { LOOK_MS = 2, NO_FILE_MS = 10 };

static _Atomic int files_max = INT_MAX;
static _Atomic int guarded[2]; /* ports; 0: none */
static _Atomic bool ending;    /* all has been said */

static bool has_port(int fd, int port)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);

    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        return false;
    if (own.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&own)->sin_port) == port;
    return own.ss_family == AF_INET6 && ntohs(((struct sockaddr_in6 *)&own)->sin6_port) == port;
}

void connections_begin(void)
{
    struct rlimit limit;

    atomic_store(&guarded[0], 0);
    atomic_store(&ending, false);
    fr_count(FR_SERIES(FR_M_CONNECTIONS_REFUSED), 0);
    fr_count(FR_SERIES(FR_M_CONNECTIONS_CUT), 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
        atomic_store(&files_max, (int)(limit.rlim_cur - limit.rlim_cur / 4)); /* the rest is for the store and Kafka */
}

void connections_guard(int port)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&guarded[0], &none, port))
        atomic_store(&guarded[1], port);
}

static bool is_guarded(int listener)
{
    return has_port(listener, atomic_load(&guarded[0])) || has_port(listener, atomic_load(&guarded[1]));
}

int accept4(int listener, __SOCKADDR_ARG address, socklen_t *address_len, int flags)
{
    for (;;) {
        int fd = (int)syscall(SYS_accept4, listener, address.__sockaddr__, address_len, flags);

        if (fd < 0) {
            int error = errno;
            if (error == ECONNABORTED || error == EINTR)
                continue;
            bool grpcs = is_guarded(listener);
            if (!grpcs && (error == EMFILE || error == ENFILE))
                poll(NULL, 0, NO_FILE_MS);
            errno = grpcs ? EAGAIN : error;
            return -1;
        }
        if (fd < atomic_load(&files_max) || !is_guarded(listener))
            return fd;
        close(fd);
        fr_count(FR_SERIES(FR_M_CONNECTIONS_REFUSED), 1);
    }
}

/* ---- turns ---- */

/* What this thread is reading, since when without a pause; 0: nothing. */
static _Thread_local struct {
    int fd;
    uint64_t since_ns;
    uint64_t worked_ns; /* its own time when that had been READING_NS; 0: it has not */
    uint64_t own_ns;    /* and own_clock_ns() then */
    bool lane;          /* it turns */
} reading;

void connections_turn(void)
{
    reading.since_ns = 0;
    reading.lane = true;
}

#ifndef __SANITIZE_THREAD__ /* it has a recvmsg and an epoll_wait of its own, and learns from them who has waited for whom */

static void cut(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    char address[NI_MAXHOST] = "", port[NI_MAXSERV] = "";

    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&peer, len, address, sizeof(address), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    shutdown(fd, SHUT_RDWR);
    fr_count(FR_SERIES(FR_M_CONNECTIONS_CUT), 1);
    fr_log(FR_WARN, "serve", "connection.cut", FR_FIELDS(FR_TEXT("peer", address), FR_TEXT("port", port)),
           "closed: it sends faster than it can be read, and keeps a thread from all other callers");
}

/* The clock, but for what the thread waited for a core: a busy machine makes no sleeper. */
static uint64_t own_clock_ns(void)
{
    return fr_mono_ns() - fr_thread_queued_ns();
}

/* True: too long. Not what is not gRPC's: who reads that may wait by other means. */
static bool read_long(int fd)
{
    if (!is_guarded(fd)) {
        reading.since_ns = 0;
        return false;
    }
    if (!reading.worked_ns) {
        reading.worked_ns = fr_thread_ns();
        reading.own_ns = own_clock_ns();
    }
    uint64_t worked_ns = fr_thread_ns() - reading.worked_ns;
    if (worked_ns <= WORKING_NS)
        return false;
    if (reading.lane || worked_ns > (own_clock_ns() - reading.own_ns) / 2)
        return true;
    reading.since_ns = 0;
    return false;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t len = syscall(SYS_recvmsg, fd, message, flags);

    if (!len || fd != reading.fd || !reading.since_ns) { /* an end: the next of this number is another */
        reading.fd = fd;
        reading.since_ns = fr_mono_ns();
        reading.worked_ns = 0;
    } else if (len > 0 && fr_mono_ns() - reading.since_ns > READING_NS && read_long(fd)) {
        cut(fd);
        reading.since_ns = 0;
        return 0; /* nothing more comes: what has come would be read on */
    }
    return len;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t len = syscall(SYS_sendmsg, fd, message, flags);

    if (len < 0 && errno == EPIPE && atomic_load(&ending) && is_guarded(fd)) {
        len = 0;
        for (size_t i = 0; i < message->msg_iovlen; i++)
            len += (ssize_t)message->msg_iov[i].iov_len;
    }
    return len;
}

int epoll_wait(int epoll, struct epoll_event *events, int events_max, int timeout_ms)
{
    reading.since_ns = 0;
    return (int)syscall(SYS_epoll_pwait, epoll, events, events_max, timeout_ms, NULL, 0);
}

#endif

/* ---- an end ---- */

static bool listens(int fd)
{
    int listens = 0;
    socklen_t len = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

/* Has all that was said arrived, and the end behind it? In the caller's machine at least, which does not lose it. */
static bool arrived(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_state == TCP_FIN_WAIT2 ||
           info.tcpi_state == TCP_TIME_WAIT || info.tcpi_state == TCP_CLOSE;
}

/* Shuts the listener of this port, and of its connections what `how` says; returns how many of these have something on its way. */
static size_t shut(int port, int how)
{
    DIR *files = port > 0 ? opendir("/proc/self/fd") : NULL;
    size_t on_their_way = 0;

    if (!files)
        return 0;
    for (struct dirent *entry; (entry = readdir(files));) {
        int fd = atoi(entry->d_name); /* "." and ".." are 0, which is not ours */
        if (!has_port(fd, port))
            continue;
        bool listener = listens(fd);
        shutdown(fd, listener ? SHUT_RDWR : how);
        on_their_way += !listener && !arrived(fd);
    }
    closedir(files);
    return on_their_way;
}

void connections_end(int port, int other_port)
{
    uint64_t end_ns = fr_mono_ns() + LINGER_NS;

    atomic_store(&ending, true);
    while (shut(port, SHUT_WR) + shut(other_port, SHUT_WR) && fr_mono_ns() < end_ns)
        poll(NULL, 0, LOOK_MS);
    shut(port, SHUT_RDWR);
    shut(other_port, SHUT_RDWR);
}
