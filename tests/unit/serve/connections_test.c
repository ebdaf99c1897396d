/*
 * connections_test.c -- accept4 when it fails: gRPC's listeners must not notice, others must. And who reads one connection for too long: a
 * thread that reads a byte at a time, and then works for longer than it may without a pause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connections.h"
#include "freshet/clock.h"
#include "freshet/metric.h"

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int accept_error(int listener)
{
    errno = 0;
    assert_int_equal(accept4(listener, NULL, NULL, 0), -1);
    return errno;
}

static void with_no_file_left_only_grpcs_listeners_hear_that_there_is_nothing_to_accept(void **state)
{
    struct rlimit before, none_left;
    int grpc_port, other_port;

    (void)state;
    connections_begin();
    int grpcs = listen_somewhere(&grpc_port), others = listen_somewhere(&other_port);
    connections_guard(grpc_port);
    int one = connect_to(grpc_port), two = connect_to(other_port);
    int next = dup(one); /* the number of the next file */
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none_left = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
    int error_of_grpcs = accept_error(grpcs), error_of_others;
    uint64_t begin = fr_mono_ns();
    error_of_others = accept_error(others);
    uint64_t took_ns = fr_mono_ns() - begin;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error_of_grpcs, EAGAIN);
    assert_int_equal(error_of_others, EMFILE);
    assert_true(took_ns > 5000000); /* who asks again at once does not spin */
    int accepted = accept4(others, NULL, NULL, 0);
    assert_true(accepted >= 0);
    close(accepted);
    assert_int_equal(accept_error(others), EAGAIN); /* nobody is there */
    close(one);
    close(two);
    close(grpcs);
    close(others);
}

/* ---- turns ---- */

#ifndef __SANITIZE_THREAD__ /* connections.c leaves recvmsg to it */

enum { READS = 5 };
#define WORK_NS UINT64_C(60000000) /* of the thread's own time: longer than READING_NS, and three times that longer than WORKING_NS */

struct reader {
    int peer, fd;
    bool lane;   /* it turns, once, before it reads */
    int wait_ms; /* after each read, for something else */
    int read;    /* bytes, till the end */
};

static void open_connection(struct reader *reader)
{
    const char bytes[READS] = {0};
    int port, listener = listen_somewhere(&port);

    connections_begin();
    connections_guard(port);
    reader->peer = connect_to(port);
    reader->fd = accept4(listener, NULL, NULL, 0);
    assert_true(reader->fd >= 0);
    assert_int_equal(write(reader->peer, bytes, READS), READS);
    close(listener);
}

static void *read_for_long(void *reader_pointer)
{
    struct reader *reader = reader_pointer;
    char byte;
    struct iovec into = {&byte, 1};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1};

    if (reader->lane)
        connections_turn();
    while (reader->read < READS && recvmsg(reader->fd, &message, 0) == 1) {
        reader->read++;
        for (uint64_t end_ns = fr_thread_ns() + WORK_NS; fr_thread_ns() < end_ns;)
            ;
        poll(NULL, 0, reader->wait_ms);
    }
    return NULL;
}

static void assert_cut(struct reader reader, bool cut)
{
    pthread_t thread;
    double before;

    open_connection(&reader);
    before = fr_series_value(FR_SERIES(FR_M_CONNECTIONS_CUT));
    pthread_create(&thread, NULL, read_for_long, &reader); /* a new one, that has never been a lane */
    pthread_join(thread, NULL);
    assert_int_equal(reader.read == READS, !cut);
    assert_true(fr_series_value(FR_SERIES(FR_M_CONNECTIONS_CUT)) == before + cut);
    close(reader.peer);
    close(reader.fd);
}

static void a_lane_that_reads_without_a_turn_cuts(void **state)
{
    (void)state;
    assert_cut((struct reader){.lane = true}, true);
}

/* Else what a thread waits for a core looks like sleep, and on a busy machine nobody is sure to be cut. */
static bool kernel_tells_who_waits_for_a_core(void)
{
    unsigned long long worked = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");

    if (file && fscanf(file, "%llu", &worked) != 1)
        worked = 0;
    if (file)
        fclose(file);
    return worked > 0;
}

static void another_that_only_reads_cuts(void **state)
{
    (void)state;
    if (!kernel_tells_who_waits_for_a_core())
        skip();
    assert_cut((struct reader){.wait_ms = 0}, true);
}

/* gRPC's executors, which read what they are handed. */
static void another_that_reads_now_and_then_does_not(void **state)
{
    (void)state;
    assert_cut((struct reader){.wait_ms = 100}, false);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_no_file_left_only_grpcs_listeners_hear_that_there_is_nothing_to_accept),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(a_lane_that_reads_without_a_turn_cuts),
        cmocka_unit_test(another_that_only_reads_cuts),
        cmocka_unit_test(another_that_reads_now_and_then_does_not),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
