/*
 * credentials.c -- certificates and a token, from files. That a file holds no PEM gRPC says itself, on stderr.
 */
#include "credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/codec.h"

enum { FILE_MAX = 1 << 20, TOKEN_MAX = 4096 };

static int read_text(const char *option, const char *path, char **ret_text, struct fr_err *err)
{
    FILE *file = fopen(path, "r");
    struct fr_writer text;
    char room[4096];
    size_t got;

    if (!file)
        return fr_fail(err, FR_IO, "--%s: cannot read '%s': %s", option, path, strerror(errno));
    fr_writer_init(&text, FILE_MAX);
    while ((got = fread(room, 1, sizeof(room), file)) > 0 && !text.overflow)
        fr_put_bytes(&text, room, got);
    fr_put_u8(&text, 0);
    bool failed = ferror(file) || text.overflow;
    fclose(file);
    if (failed) {
        fr_writer_release(&text);
        return fr_fail(err, FR_IO, "--%s: cannot read '%s'", option, path);
    }
    *ret_text = text.at;
    return FR_OK;
}

int credentials_channel(grpc_channel_credentials **ret_credentials, struct fr_err *err)
{
    const struct access_files *files = &access_files;
    char *ca = NULL, *cert = NULL, *key = NULL;
    int status = FR_OK;

    if (!files->tls_cert != !files->tls_key)
        return fr_fail(err, FR_INVALID, "--tls-cert and --tls-key go together");
    if (files->tls_cert && !files->tls_ca)
        return fr_fail(err, FR_INVALID, "--tls-cert needs --tls-ca: who signed the daemon's certificate");
    if (files->tls_ca)
        status = read_text("tls-ca", files->tls_ca, &ca, err);
    if (status == FR_OK && files->tls_cert)
        status = read_text("tls-cert", files->tls_cert, &cert, err);
    if (status == FR_OK && files->tls_key)
        status = read_text("tls-key", files->tls_key, &key, err);
    if (status == FR_OK) {
        grpc_ssl_pem_key_cert_pair own = {key, cert};
        *ret_credentials = ca ? grpc_ssl_credentials_create(ca, cert ? &own : NULL, NULL, NULL) : grpc_insecure_credentials_create();
    }
    free(ca);
    free(cert);
    free(key);
    return status;
}

int credentials_authorization(char **ret_authorization, struct fr_err *err)
{
    struct fr_writer header;
    char *text, *token;
    size_t len;

    if (!access_files.token)
        return FR_OK;
    if (read_text("token-file", access_files.token, &text, err))
        return FR_IO;
    token = text + strspn(text, " \t\r\n");
    len = strcspn(token, " \t\r\n");
    bool good = len && len <= TOKEN_MAX && !token[len + strspn(token + len, " \t\r\n")];
    for (size_t i = 0; i < len; i++)
        good = good && token[i] > ' ' && token[i] < 0x7f;
    if (good) {
        fr_writer_init(&header, 0);
        fr_put_text(&header, "Bearer %.*s", (int)len, token);
        fr_put_u8(&header, 0);
        *ret_authorization = header.at;
    }
    free(text);
    return good ? FR_OK : fr_fail(err, FR_INVALID, "--token-file: '%s' holds no token: one word of printable ASCII", access_files.token);
}
