/*
 * abseil_test.c -- two of abseil's mutexes, taken in one order and then in the other, never at once.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <grpc/grpc.h>

#include "freshet/abseil.h"

static void (*lock)(void *mutex), (*unlock)(void *mutex);

static void take_both(void *first, void *second)
{
    lock(first);
    lock(second);
    unlock(second);
    unlock(first);
}

/* A process that takes two in both orders; its wait status. */
static int child(bool trusts)
{
    static _Alignas(16) char a[64], b[64]; /* a mutex is a word of 0 */
    int status;

    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) /* it says at length what it thinks is wrong */
            _exit(2);
        if (trusts)
            fr_abseil_trust_locks();
        take_both(a, b);
        take_both(b, a);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void the_order_of_locks_ends_nobody(void **state)
{
    (void)state;
    assert_non_null(grpc_version_string()); /* so gRPC is here, and abseil with it */
    *(void **)&lock = dlsym(RTLD_DEFAULT, "_ZN4absl7debian35Mutex4LockEv");
    *(void **)&unlock = dlsym(RTLD_DEFAULT, "_ZN4absl7debian35Mutex6UnlockEv");
    if (!lock || !unlock || child(false) == 0) {
        print_message("SKIPPED: this abseil does not watch the order of locks\n");
        skip();
    }
    assert_int_equal(child(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_order_of_locks_ends_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
