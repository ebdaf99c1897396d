/*
 * fds_test.c -- whichever of 0, 1 and 2 are closed: what is opened later is none of them, and they are as good as closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freshet/fds.h"

static bool unusable(int number)
{
    char byte = 0;

    return read(number, &byte, 1) < 0 && errno == EBADF && write(number, &byte, 1) < 0 && errno == EBADF;
}

/* In a process of its own: bit n of `closed`: n is. What it ends with tells what has failed. */
static int try_with(int closed)
{
    int free_before = dup(STDIN_FILENO), free_after, pipe_ends[2];

    close(free_before);
    for (int n = 0; n < 3; n++)
        if (closed & 1 << n)
            close(n);
    if (!fr_fds_take())
        return 1;
    for (int n = 0; n < 3; n++)
        if (fcntl(n, F_GETFD) != 0 || (closed & 1 << n && !unusable(n)))
            return 2;
    free_after = open("/dev/null", O_RDONLY);
    if (free_after != free_before) /* nothing else has been opened, or closed */
        return 3;
    return pipe(pipe_ends) == 0 && pipe_ends[0] > free_after && pipe_ends[1] > free_after ? 0 : 4;
}

static void what_is_closed_is_taken(void **state)
{
    (void)state;
    for (int closed = 0; closed < 8; closed++) {
        int status;
        pid_t child = fork();
        if (!child)
            _exit(try_with(closed));
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_closed_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
