/*
 * health.h -- grpc.health.v1: is a service being served? No gRPC here.
 *
 *     ""  "freshet.v1.Recommender"  "freshet.v1.Admin"    SERVING while the daemon runs: state loaded, not draining
 *     "liveness"                                          SERVING while every loop of the daemon moves
 *
 * A listener knows its own service only. Thread: any.
 */
#ifndef FR_HEALTH_H
#define FR_HEALTH_H

#include "answer.h"

enum health { HEALTH_UNKNOWN, HEALTH_SERVING, HEALTH_NOT_SERVING, HEALTH_SERVICE_UNKNOWN }; /* the protocol's numbers */
enum health_service { HEALTH_ALL, HEALTH_PUBLIC, HEALTH_ADMIN, HEALTH_LIVENESS, HEALTH_NO_SERVICE };

/* Which service a request asks about. False: *ret_answer says what is wrong. */
bool health_read(struct fr_arena *arena, enum rpc_listener listener, struct fr_bytes request,
                 enum health_service *ret_service, struct answer *ret_answer);
enum health health_of(enum health_service service);
/* Check: NOT_FOUND for a service unknown here. */
void health_check(struct fr_arena *arena, enum health_service service, struct answer *ret_answer);
struct fr_bytes health_message(struct fr_arena *arena, enum health health);

#endif
