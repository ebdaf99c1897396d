/*
 * listener_test.c -- which names are this very machine's. Sockets are asked in http_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "listener.h"

static void local_names_are_local_with_any_port(void **state)
{
    static const char *const local[] = {"localhost",   "localhost:9464", "LocalHost:1", "freshet.localhost", "a.b.LOCALHOST:80",
                                        "127.0.0.1",   "127.0.0.1:9464", "127.8.9.10",  "[::1]",             "[::1]:9464",
                                        "[0:0:0:0:0:0:0:1]:9464"};

    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(host_is_local(local[i]));
}

static void all_others_are_not(void **state)
{
    static char endless[2000];
    static const char *const other[] = {"",
                                        ":9464",
                                        "evil.example",
                                        "evil.example:9464",
                                        "localhost.evil.example",
                                        "notlocalhost",
                                        ".localhost",
                                        "127.0.0.1.evil.example",
                                        "128.0.0.1",
                                        "0.0.0.0:9464",
                                        "10.127.0.1",
                                        "2130706433",
                                        "127.1",
                                        "[::]",
                                        "[::2]:1",
                                        "[::1",
                                        "[::1]evil.example",
                                        "[]",
                                        "::1",
                                        "localhost@evil.example",
                                        endless};

    (void)state;
    memset(endless, 'a', sizeof endless - 1);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(host_is_local(other[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_names_are_local_with_any_port),
        cmocka_unit_test(all_others_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
