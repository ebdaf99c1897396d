/*
 * credentials.c -- certificates and a token, from files.
 */
#include "credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/certificate.h"
#include "freshet/codec.h"

enum { TOKEN_FILE_MAX = 4096 };

static struct certificate_file file(const char *option, const char *path)
{
    return (struct certificate_file){option, path ? path : ""};
}

int credentials_channel(grpc_channel_credentials **ret_credentials, struct fr_err *err)
{
    const struct access_files *given = &access_files;
    const struct certificate_files files = {file("--tls-cert", given->tls_cert), file("--tls-key", given->tls_key),
                                            file("--tls-ca", given->tls_ca)};
    struct certificate *certificate;
    struct certificate_texts texts;
    uint64_t seen = 0;

    if (!given->tls_cert != !given->tls_key)
        return fr_fail(err, FR_INVALID, "--tls-cert and --tls-key go together");
    if (given->tls_cert && !given->tls_ca)
        return fr_fail(err, FR_INVALID, "--tls-cert needs --tls-ca: who signed the daemon's certificate");
    if (!given->tls_ca) {
        *ret_credentials = grpc_insecure_credentials_create();
        return FR_OK;
    }
    int status = certificate_open(&certificate, &files, err);
    if (status != FR_OK)
        return status;
    certificate_newer(certificate, &seen, &texts);
    grpc_ssl_pem_key_cert_pair own = {texts.key, texts.cert};
    *ret_credentials = grpc_ssl_credentials_create(texts.ca, texts.cert ? &own : NULL, NULL, NULL); /* copies */
    certificate_texts_release(&texts);
    certificate_free(certificate);
    return FR_OK;
}

/* The one word in a file, in `room`. */
static bool read_token(FILE *opened, char room[TOKEN_FILE_MAX], const char **ret_token, size_t *ret_len)
{
    size_t got = fread(room, 1, TOKEN_FILE_MAX - 1, opened), begin, len;

    room[got] = 0;
    begin = strspn(room, " \t\r\n");
    len = strcspn(room + begin, " \t\r\n");
    for (size_t i = begin; i < begin + len; i++)
        if (room[i] <= ' ' || room[i] >= 0x7f)
            return false;
    *ret_token = room + begin;
    *ret_len = len;
    return len && got < TOKEN_FILE_MAX - 1 && begin + len + strspn(room + begin + len, " \t\r\n") == got;
}

int credentials_authorization(char **ret_authorization, struct fr_err *err)
{
    const char *path = access_files.token, *token;
    char room[TOKEN_FILE_MAX];
    struct fr_writer header;
    size_t len;

    if (!path)
        return FR_OK;
    FILE *opened = fopen(path, "r");
    if (!opened)
        return fr_fail(err, FR_IO, "--token-file: cannot read '%s': %s", path, strerror(errno));
    bool good = read_token(opened, room, &token, &len);
    fclose(opened);
    if (!good)
        return fr_fail(err, FR_INVALID, "--token-file: '%s' holds no token: one word of printable ASCII", path);
    fr_writer_init(&header, 0);
    fr_put_text(&header, "Bearer %.*s", (int)len, token);
    fr_put_u8(&header, 0);
    *ret_authorization = header.at;
    return FR_OK;
}
