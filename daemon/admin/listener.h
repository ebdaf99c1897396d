/*
 * listener.h -- where HTTP is listened for, and under which names a listener on loopback may be asked.
 *
 * A page of somebody else's, open in the operator's browser, can have its own name resolve to 127.0.0.1 and then ask here as if it were
 * from here (DNS rebinding). The browser still says by which name it asks: that of a listener on loopback can only be a local one.
 *
 * Thread: any.
 */
#ifndef FR_LISTENER_H
#define FR_LISTENER_H

#include <stdbool.h>

#include "freshet/err.h"

/* "host:port", "[v6]:port". FR_INVALID if it is neither, FR_IO if it cannot be had; both name it. */
int listener_open(const char *address, int *ret_fd, struct fr_err *err);
int listener_port(int fd);      /* as bound */
bool listener_is_local(int fd); /* on loopback */

/* Is this value of the header Host a name of this very machine: localhost, 127.0.0.0/8, [::1]? */
bool host_is_local(const char *host);

#endif
