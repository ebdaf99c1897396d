/*
 * health.c -- is a service being served?
 */
#include "health.h"

#include <grpc/health/v1/health.pb-c.h>

#include "freshet/life.h"
#include "wire.h"

enum { MEMORY_MAX = 64 << 10 };

static const struct name {
    const char *name;
    enum rpc_listener listeners;
} names[] = {
    [HEALTH_ALL] = {"", RPC_BOTH},
    [HEALTH_PUBLIC] = {"freshet.v1.Recommender", RPC_PUBLIC},
    [HEALTH_ADMIN] = {"freshet.v1.Admin", RPC_ADMIN},
    [HEALTH_LIVENESS] = {"liveness", RPC_BOTH},
};

bool health_read(struct fr_arena *arena, enum rpc_listener listener, struct fr_bytes request,
                 enum health_service *ret_service, struct answer *ret_answer)
{
    bool large;
    const Grpc__Health__V1__HealthCheckRequest *message = wire_unpack(
        arena, &grpc__health__v1__health_check_request__descriptor, request, MEMORY_MAX + request.len, &large);

    if (!message)
        return answer_refuse(ret_answer, RPC_CODE_INVALID_ARGUMENT, "the request is not a %s",
                             grpc__health__v1__health_check_request__descriptor.name);
    *ret_service = HEALTH_NO_SERVICE;
    for (int i = HEALTH_ALL; i < HEALTH_NO_SERVICE; i++)
        if (names[i].listeners & listener && strcmp(names[i].name, message->service) == 0)
            *ret_service = (enum health_service)i;
    return true;
}

enum health health_of(enum health_service service)
{
    const char *stuck;
    bool serving;

    if (service == HEALTH_NO_SERVICE)
        return HEALTH_SERVICE_UNKNOWN;
    serving = service == HEALTH_LIVENESS ? fr_pulse_all(&stuck) : fr_state_now() == FR_RUNNING;
    return serving ? HEALTH_SERVING : HEALTH_NOT_SERVING;
}

struct fr_bytes health_message(struct fr_arena *arena, enum health health)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)health;
    return wire_pack(arena, &response.base);
}

void health_check(struct fr_arena *arena, enum health_service service, struct answer *ret_answer)
{
    if (service == HEALTH_NO_SERVICE) {
        answer_refuse(ret_answer, RPC_CODE_NOT_FOUND, "there is no such service on this listener");
        return;
    }
    *ret_answer = (struct answer){.code = RPC_CODE_OK, .bytes = health_message(arena, health_of(service))};
}
