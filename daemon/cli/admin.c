/*
 * admin.c -- where the Admin service is, and one call of it.
 *
 * It listens on an address of its own, which the daemon's other address does not tell. What operators ask for changes a daemon, so
 * where several may be meant none is guessed:
 *
 *     --admin A                                A
 *     neither --admin nor --server             $FRESHET_ADMIN, or 127.0.0.1:50052
 *     --server H:50051, or H alone             H:50052: both have the ports they have unless told otherwise
 *     --server H:PORT, $FRESHET_ADMIN on H     $FRESHET_ADMIN
 *     else                                     a wrong use that asks for --admin
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SERVER_PORT ":50051"
#define ADMIN_PORT ":50052"

/* Of HOST:PORT, or of HOST alone. */
static size_t host_len(const char *address)
{
    const char *colon = strrchr(address, ':');
    bool port = colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);

    return port ? (size_t)(colon - address) : strlen(address);
}

static bool same_host(const char *left, const char *right)
{
    return host_len(left) == host_len(right) && !memcmp(left, right, host_len(left));
}

static const char *usual_port(const char *server)
{
    size_t len = host_len(server);
    char *address = cli_take(len + sizeof(ADMIN_PORT), 1);

    memcpy(address, server, len);
    return strcat(address, ADMIN_PORT);
}

const char *common_admin(const struct common *common)
{
    const char *known = cli_environment("FRESHET_ADMIN"), *server = common->beside;

    if (common->admin)
        return common->admin;
    if (!server)
        return known ? known : "127.0.0.1" ADMIN_PORT;
    if (known && same_host(known, server))
        return known;
    if (!known && (!server[host_len(server)] || !strcmp(server + host_len(server), SERVER_PORT)))
        return usual_port(server);
    if (known)
        cli_fail("--server is '%s', but FRESHET_ADMIN is '%s': give --admin of the daemon that is meant", server, known);
    else
        cli_fail("--server is '%s', which does not tell where its Admin service is: give --admin", server);
    return NULL;
}

int admin_call(const struct common *common, const char *method, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *response, void *ret)
{
    const char *admin = common_admin(common);
    struct fr_err err;

    if (!admin)
        return CLI_USAGE;
    if (rpc_call(admin, method, request, response, ret, common->timeout_ms, &err))
        return cli_fail("%s", err.text);
    return CLI_DONE;
}
