/*
 * tls.c -- gRPC's certificate fetcher in front of a certificate.
 *
 * gRPC-core 1.51 lets go of the old certificate while another thread may be beginning a handshake with it, which is then a use after free
 * (grpc/grpc#36693, still so in its newest). Handshakes begin where connections are accepted, one after the other for each listening socket;
 * so it takes a listener with two of them: an address whose name has two, or SO_REUSEPORT, which we do not let it set (grpc.c).
 */
#include "tls.h"

#include <stdlib.h>

#include "freshet/alloc.h"
#include "freshet/certificate.h"

struct tls {
    struct certificate *certificate;
    uint64_t seen; /* of the certificate's readings; under its lock */
};

struct tls *tls_new(struct certificate *certificate)
{
    struct tls *tls = fr_alloc(sizeof *tls);

    *tls = (struct tls){.certificate = certificate};
    return tls;
}

void tls_free(struct tls *tls)
{
    free(tls);
}

static grpc_ssl_certificate_config_reload_status fetch(void *tls_pointer, grpc_ssl_server_certificate_config **ret_config)
{
    struct tls *tls = tls_pointer;
    struct certificate_texts texts;

    if (!certificate_newer(tls->certificate, &tls->seen, &texts))
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair = {.private_key = texts.key, .cert_chain = texts.cert};
    /* gRPC-core 1.51 aborts when a fetched certificate comes without roots, also where nobody is asked for his (ssl_security_connector.cc,
     * try_replace_server_handshaker_factory). Then the listener's own stand in, which are never looked at. It copies all. */
    *ret_config = grpc_ssl_server_certificate_config_create(texts.ca ? texts.ca : texts.cert, &pair, 1);
    certificate_texts_release(&texts);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

grpc_server_credentials *tls_credentials(struct tls *tls)
{
    return grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
        certificate_asks_callers(tls->certificate) ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                   : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
        fetch, tls));
}
