/*
 * guard.h -- who may look: a caller with a token of role read, as "Bearer TOKEN" (Prometheus: authorization.credentials_file), or
 * as the password of Basic with any user (browsers ask for one). Thread: the library's.
 */
#ifndef FR_GUARD_H
#define FR_GUARD_H

#include <microhttpd.h>
#include <stdbool.h>

#include "freshet/tokens.h"

bool guard_lets(struct tokens_view *view, struct MHD_Connection *connection); /* view NULL: anybody */

#endif
