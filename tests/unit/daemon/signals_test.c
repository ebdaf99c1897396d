/*
 * signals_test.c -- which TERM is main's, and which ends the process. Each case is a process of its own, since it may end.
 *
 *     running ----- TERM ---> main's ----- TERM ---> the end
 *     running ----- stop ---> main's ----- TERM ---> the end       a stop is a first TERM, whether it is asked for
 *     stop -- running ------> main's ----- TERM ---> the end       when main listens or before
 *     TERM ------------------------------------------> the end
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"

enum { PATIENCE_SECONDS = 60, ENDED_AT_ONCE = 0, HEARD_TWICE = 3, HEARD_WRONG = 4 };

static int ended(void (*life)(void))
{
    pid_t id = fork();
    int status;

    assert_true(id >= 0);
    if (id == 0) {
        alarm(PATIENCE_SECONDS);
        signals_start();
        life();
        _exit(HEARD_TWICE);
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Main is told once; then a TERM comes, of which it must hear nothing. */
static void drain_and_be_ended(void)
{
    if (signals_next(-1) != SIGTERM)
        _exit(HEARD_WRONG);
    kill(getpid(), SIGTERM);
    signals_next(-1);
}

static void signalled(void)
{
    signals_running();
    kill(getpid(), SIGTERM);
    drain_and_be_ended();
}

static void stopped(void)
{
    signals_running();
    signals_stop();
    drain_and_be_ended();
}

static void stopped_before_it_listens(void)
{
    signals_stop();
    signals_running();
    drain_and_be_ended();
}

static void signalled_before_it_listens(void)
{
    kill(getpid(), SIGTERM);
    signals_next(-1);
}

static void one_term_is_mains_and_the_next_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(ended(signalled), ENDED_AT_ONCE);
    assert_int_equal(ended(signalled_before_it_listens), ENDED_AT_ONCE);
}

static void a_stop_that_was_asked_for_is_the_first(void **state)
{
    (void)state;
    assert_int_equal(ended(stopped), ENDED_AT_ONCE);
    assert_int_equal(ended(stopped_before_it_listens), ENDED_AT_ONCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_term_is_mains_and_the_next_ends_the_process),
        cmocka_unit_test(a_stop_that_was_asked_for_is_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
