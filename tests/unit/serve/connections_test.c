/*
 * connections_test.c -- accept4 when it fails: gRPC's listeners must not notice, others must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connections.h"
#include "freshet/clock.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_no_file_left_only_grpcs_listeners_hear_that_there_is_nothing_to_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
