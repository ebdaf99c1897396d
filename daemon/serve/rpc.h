/*
 * rpc.h -- every method there is on the wire, once, and the status codes, as numbers that need no gRPC header.
 *
 *   RPC(id, service, method, label, kind, listeners, role, armed)
 *
 * kind: ONE question and one answer; WATCH, one question and an answer whenever it changes; TALK, questions and answers
 * in turns; LATER, in the published service but not served by this version. label: its name in metrics. role: what a
 * caller must be where there are tokens (tokens.h); NONE: anybody; WRITE is for what changes what is remembered of users and
 * items. armed: how many calls of it a completion queue has asked for ahead of their coming.
 */
#ifndef FR_RPC_H
#define FR_RPC_H

#include <stdbool.h>

#include "freshet/bytes.h"
#include "freshet/tokens.h"

enum rpc_kind { RPC_KIND_ONE, RPC_KIND_WATCH, RPC_KIND_TALK, RPC_KIND_LATER };
enum rpc_listener { RPC_PUBLIC = 1, RPC_ADMIN = 2, RPC_BOTH = 3 };

#define RPC_TABLE(RPC)                                                                                                 \
    RPC(RECOMMEND, "freshet.v1.Recommender", "Recommend", "Recommend", ONE, PUBLIC, READ, 128)                         \
    RPC(SIMILAR, "freshet.v1.Recommender", "Similar", "Similar", ONE, PUBLIC, READ, 32)                                \
    RPC(SCORE, "freshet.v1.Recommender", "Score", "Score", ONE, PUBLIC, READ, 32)                                      \
    RPC(POPULAR, "freshet.v1.Recommender", "Popular", "Popular", ONE, PUBLIC, READ, 32)                                \
    RPC(EXPLAIN, "freshet.v1.Recommender", "Explain", "Explain", ONE, PUBLIC, READ, 16)                                \
    RPC(GET_USER, "freshet.v1.Recommender", "GetUser", "GetUser", ONE, PUBLIC, READ, 16)                               \
    RPC(GET_ITEM, "freshet.v1.Recommender", "GetItem", "GetItem", ONE, PUBLIC, READ, 16)                               \
    RPC(WATCH, "freshet.v1.Recommender", "Watch", "Watch", WATCH, PUBLIC, READ, 16)                                    \
    RPC(GET_STATUS, "freshet.v1.Admin", "GetStatus", "GetStatus", ONE, ADMIN, READ, 4)                                 \
    RPC(CHECKPOINT, "freshet.v1.Admin", "Checkpoint", "Checkpoint", ONE, ADMIN, ADMIN, 4)                              \
    RPC(BACKUP, "freshet.v1.Admin", "Backup", "Backup", ONE, ADMIN, ADMIN, 2)                                          \
    RPC(LIST_BACKUPS, "freshet.v1.Admin", "ListBackups", "ListBackups", ONE, ADMIN, ADMIN, 2)                          \
    RPC(VERIFY_BACKUP, "freshet.v1.Admin", "VerifyBackup", "VerifyBackup", ONE, ADMIN, ADMIN, 2)                       \
    RPC(PAUSE_INGEST, "freshet.v1.Admin", "PauseIngest", "PauseIngest", ONE, ADMIN, ADMIN, 1)                          \
    RPC(RESUME_INGEST, "freshet.v1.Admin", "ResumeIngest", "ResumeIngest", ONE, ADMIN, ADMIN, 1)                       \
    RPC(DRAIN, "freshet.v1.Admin", "Drain", "Drain", ONE, ADMIN, ADMIN, 1)                                             \
    RPC(SET_LOG_LEVEL, "freshet.v1.Admin", "SetLogLevel", "SetLogLevel", ONE, ADMIN, ADMIN, 1)                         \
    RPC(FORGET_USER, "freshet.v1.Admin", "ForgetUser", "ForgetUser", ONE, ADMIN, WRITE, 4)                             \
    RPC(FORGET_ITEM, "freshet.v1.Admin", "ForgetItem", "ForgetItem", ONE, ADMIN, WRITE, 4)                             \
    RPC(RESET_PARTITION, "freshet.v1.Admin", "ResetPartition", "ResetPartition", ONE, ADMIN, ADMIN, 1)                 \
    RPC(RELOAD_CONFIG, "freshet.v1.Admin", "ReloadConfig", "ReloadConfig", ONE, ADMIN, ADMIN, 1)                       \
    RPC(HEALTH_CHECK, "grpc.health.v1.Health", "Check", "Health.Check", ONE, BOTH, NONE, 4)                            \
    RPC(HEALTH_WATCH, "grpc.health.v1.Health", "Watch", "Health.Watch", WATCH, BOTH, NONE, 2)                          \
    RPC(REFLECTION, "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", "Reflection", TALK, BOTH, READ, 1)  \
    RPC(REFLECTION_ALPHA, "grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", "Reflection.v1alpha",    \
        TALK, BOTH, READ, 1)

enum rpc {
#define RPC(id, service, method, label, kind, listeners, role, armed) RPC_##id,
    RPC_TABLE(RPC)
#undef RPC
    RPC_UNKNOWN, /* any other path */
    RPCS
};

struct rpc_method {
    const char *path, *service, *label;
    enum rpc_kind kind;
    enum rpc_listener listeners;
    enum role role;
    unsigned armed;
};
extern const struct rpc_method rpc_methods[RPCS];

enum rpc rpc_of(struct fr_bytes path); /* RPC_UNKNOWN if there is none */

/* gRPC's status codes, by their numbers on the wire. */
enum rpc_code {
    RPC_CODE_OK = 0,
    RPC_CODE_CANCELLED = 1,
    RPC_CODE_INVALID_ARGUMENT = 3,
    RPC_CODE_DEADLINE_EXCEEDED = 4,
    RPC_CODE_NOT_FOUND = 5,
    RPC_CODE_PERMISSION_DENIED = 7,
    RPC_CODE_RESOURCE_EXHAUSTED = 8,
    RPC_CODE_FAILED_PRECONDITION = 9,
    RPC_CODE_UNIMPLEMENTED = 12,
    RPC_CODE_INTERNAL = 13,
    RPC_CODE_UNAVAILABLE = 14,
    RPC_CODE_UNAUTHENTICATED = 16,
    RPC_CODES
};
const char *rpc_code_name(enum rpc_code code); /* "INVALID_ARGUMENT"; NULL for a number this program never answers */

#endif
