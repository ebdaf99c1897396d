/*
 * address_test.c -- which addresses are this machine's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "freshet/address.h"

static void this_machine_alone_reaches_loopback(void **state)
{
    static const char *const near[] = {"127.0.0.1:50051", "127.0.0.1", "127.1.2.3:1", "localhost", "localhost:50051", "[::1]:50051", "[::1]"};
    static const char *const far[] = {"",          "0.0.0.0:50051", "10.0.0.1:1",       "127.example.com:1", "localhost.example.com:1",
                                      "localhosts:1", "[::]:1",     "[::127.0.0.1]:1",  "[::10]:1",          "1127.0.0.1:1",
                                      "unix:/tmp/s",  "example.com"};

    (void)state;
    for (size_t i = 0; i < sizeof(near) / sizeof(*near); i++)
        assert_true(fr_address_local(near[i]));
    for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++)
        assert_false(fr_address_local(far[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(this_machine_alone_reaches_loopback)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
