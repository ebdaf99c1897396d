/*
 * rpc.c -- the table of methods, and of codes.
 */
#include "rpc.h"

const struct rpc_method rpc_methods[RPCS] = {
#define RPC(id, service, method, label, kind, listeners, role, armed)                                                  \
    [RPC_##id] = {"/" service "/" method, service, label, RPC_KIND_##kind, RPC_##listeners, ROLE_##role, armed},
    RPC_TABLE(RPC)
#undef RPC
    [RPC_UNKNOWN] = {"", "", "unknown", RPC_KIND_LATER, RPC_BOTH, ROLE_NONE, 2},
};

enum rpc rpc_of(struct fr_bytes path)
{
    for (int i = 0; i < RPC_UNKNOWN; i++)
        if (fr_bytes_equal(path, fr_bytes_of(rpc_methods[i].path)))
            return (enum rpc)i;
    return RPC_UNKNOWN;
}

const char *rpc_code_name(enum rpc_code code)
{
    static const char *const names[RPC_CODES] = {
        [RPC_CODE_OK] = "OK",
        [RPC_CODE_CANCELLED] = "CANCELLED",
        [RPC_CODE_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [RPC_CODE_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [RPC_CODE_NOT_FOUND] = "NOT_FOUND",
        [RPC_CODE_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [RPC_CODE_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [RPC_CODE_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [RPC_CODE_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [RPC_CODE_INTERNAL] = "INTERNAL",
        [RPC_CODE_UNAVAILABLE] = "UNAVAILABLE",
        [RPC_CODE_UNAUTHENTICATED] = "UNAUTHENTICATED",
    };

    return names[code];
}
