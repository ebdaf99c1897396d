/*
 * guard.c -- a token from the header of a request.
 */
#include "guard.h"

static enum role role_of(struct tokens_view *view, struct MHD_Connection *connection)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION), *name;
    char *user, *password = NULL;
    struct fr_bytes token;
    enum role role = ROLE_NONE;

    if (tokens_bearer(fr_bytes_of(header), &token))
        return tokens_find(view, token, &name);
    user = MHD_basic_auth_get_username_password(connection, &password);
    if (password)
        role = tokens_find(view, fr_bytes_of(password), &name);
    MHD_free(password);
    MHD_free(user);
    return role;
}

bool guard_lets(struct tokens_view *view, struct MHD_Connection *connection)
{
    return !view || role_of(view, connection) >= ROLE_READ;
}
