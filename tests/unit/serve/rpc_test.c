/*
 * rpc_test.c -- the table of methods against the published services: every method is in it, with the role that is written down
 * here a second time, so that a new one cannot come without somebody having said who may call it; the page for operators says the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <freshet/v1/admin.pb-c.h>
#include <freshet/v1/recommender.pb-c.h>
#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc.h"

static const struct {
    const char *method;
    enum role role;
} roles[] = {
    {"Recommend", ROLE_READ},      {"Similar", ROLE_READ},     {"Score", ROLE_READ},   {"Popular", ROLE_READ},
    {"Explain", ROLE_READ},        {"GetUser", ROLE_READ},     {"GetItem", ROLE_READ}, {"Watch", ROLE_READ},
    {"GetStatus", ROLE_READ},      {"Checkpoint", ROLE_ADMIN}, {"Backup", ROLE_ADMIN}, {"ListBackups", ROLE_ADMIN},
    {"VerifyBackup", ROLE_ADMIN},  {"PauseIngest", ROLE_ADMIN}, {"ResumeIngest", ROLE_ADMIN}, {"Drain", ROLE_ADMIN},
    {"ResetPartition", ROLE_ADMIN},
    {"SetLogLevel", ROLE_ADMIN},   {"ReloadConfig", ROLE_ADMIN},  {"ForgetUser", ROLE_WRITE},    {"ForgetItem", ROLE_WRITE},
};

static enum role role_of(const char *method)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i].method, method) == 0)
            return roles[i].role;
    fail_msg("%s has no role here: say in rpc.h and in this test who may call it", method);
    return ROLE_NONE;
}

static enum rpc find(const ProtobufCServiceDescriptor *service, const char *method)
{
    char path[200];
    enum rpc rpc;

    snprintf(path, sizeof path, "/%s/%s", service->name, method);
    rpc = rpc_of(fr_bytes_of(path));
    if (rpc == RPC_UNKNOWN)
        fail_msg("%s is not in the table of rpc.h", path);
    return rpc;
}

static void every_method_of_both_services_has_its_role(void **state)
{
    static const ProtobufCServiceDescriptor *const services[] = {&freshet__v1__recommender__descriptor,
                                                                 &freshet__v1__admin__descriptor};

    (void)state;
    for (int s = 0; s < 2; s++)
        for (unsigned i = 0; i < services[s]->n_methods; i++) {
            const char *method = services[s]->methods[i].name;
            enum rpc rpc = find(services[s], method);
            assert_int_equal(rpc_methods[rpc].role, role_of(method));
            assert_int_not_equal(rpc_methods[rpc].role, ROLE_NONE);
            assert_int_equal(rpc_methods[rpc].listeners, s == 0 ? RPC_PUBLIC : RPC_ADMIN);
        }
}

static void health_is_open_and_reflection_wants_read(void **state)
{
    (void)state;
    assert_int_equal(rpc_methods[find(&grpc__health__v1__health__descriptor, "Check")].role, ROLE_NONE);
    assert_int_equal(rpc_methods[find(&grpc__health__v1__health__descriptor, "Watch")].role, ROLE_NONE);
    assert_int_equal(rpc_methods[RPC_REFLECTION].role, ROLE_READ);
    assert_int_equal(rpc_methods[RPC_REFLECTION_ALPHA].role, ROLE_READ);
}

/* Is the method named in the row of this role, in the table of security.md? */
static bool is_in_row(const char *page, const char *role, const char *method)
{
    char row[40], name[80];

    snprintf(row, sizeof row, "\n| `%s` |", role);
    snprintf(name, sizeof name, "`%s`", method);
    const char *begin = strstr(page, row), *named = begin ? strstr(begin, name) : NULL;
    assert_non_null(begin);
    return named && named < strchr(begin + 1, '\n');
}

static void operators_are_told_the_role_of_each_call_of_admin(void **state)
{
    static const char *const names[] = {[ROLE_READ] = "read", [ROLE_WRITE] = "write", [ROLE_ADMIN] = "admin"};
    static char page[1 << 17];
    const char *source = getenv("FRESHET_SOURCE");
    char path[1000];

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof path, "%s/ops/docs/security.md", source);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_in_range(fread(page, 1, sizeof(page) - 1, file), 1, sizeof(page) - 2);
    fclose(file);
    for (unsigned i = 0; i < freshet__v1__admin__descriptor.n_methods; i++) {
        const char *method = freshet__v1__admin__descriptor.methods[i].name;
        for (int role = ROLE_READ; role <= ROLE_ADMIN; role++)
            if (is_in_row(page, names[role], method) != ((int)role_of(method) == role))
                fail_msg("%s: the row of %s is wrong about %s", path, names[role], method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_of_both_services_has_its_role),
        cmocka_unit_test(health_is_open_and_reflection_wants_read),
        cmocka_unit_test(operators_are_told_the_role_of_each_call_of_admin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
