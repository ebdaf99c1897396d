/*
 * credentials.h -- how the client shows itself, from access_files (cli.h).
 */
#ifndef FR_CREDENTIALS_H
#define FR_CREDENTIALS_H

#include <grpc/grpc_security.h>

#include "freshet/err.h"

/* Plain without tls_ca. FR_INVALID: files that do not go together; FR_CONFIG: one is no such thing. */
int credentials_channel(grpc_channel_credentials **ret_credentials, struct fr_err *err);
/* "Bearer TOKEN", malloc'ed; NULL: no token is shown. FR_IO, FR_INVALID: there is no token in the file. */
int credentials_authorization(char **ret_authorization, struct fr_err *err);

#endif
