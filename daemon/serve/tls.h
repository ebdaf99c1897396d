/*
 * tls.h -- a listener's credentials, from a certificate that may be read again (certificate.h).
 *
 * gRPC asks at each handshake whether there is something newer, and keeps what it has when not: connections that stand go
 * on as they began, the next one is greeted with the new certificate. Thread: main; gRPC's own ask.
 */
#ifndef FR_TLS_H
#define FR_TLS_H

#include <grpc/grpc_security.h>

struct certificate;
struct tls;
struct tls *tls_new(struct certificate *certificate); /* borrowed */
/* The caller's, once; of use until tls_free. */
grpc_server_credentials *tls_credentials(struct tls *tls);
void tls_free(struct tls *tls); /* after the server; NULL is nothing */

#endif
