/*
 * certificate.c -- PEM files, checked with OpenSSL before anybody is shown them. What TLS does with them is gRPC's.
 */
#include "freshet/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "freshet/alloc.h"
#include "read_file.h"

struct certificate {
    struct certificate_files files; /* owned texts */
    when_ms starts, expires;
    pthread_mutex_t lock; /* the rest; for as long as copying them takes */
    uint64_t number;
    struct certificate_texts texts;
};

/* ---- one file ---- */

static int read_text(const struct certificate_file *file, char **ret_text, struct fr_err *err)
{
    struct fr_writer text;
    int status = read_file(file->path, CERTIFICATE_FILE_MAX, &text, err);

    if (status != FR_OK)
        return fr_while(err, "%s: ", file->key);
    fr_put_u8(&text, 0);
    if (strlen(text.at) + 1 == text.len)
        *ret_text = text.at;
    else
        status = fr_fail(err, FR_CONFIG, "%s: '%s' is no PEM text", file->key, file->path);
    if (status != FR_OK)
        fr_writer_release(&text);
    return status;
}

/* The first certificate of a text; NULL: there is none, or one of them is not whole. */
static X509 *first_of(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *first = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    if (first) {
        for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
            X509_free(next);
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
            X509_free(first);
            first = NULL;
        }
    }
    ERR_clear_error();
    BIO_free(bio);
    return first;
}

static int no_passphrase(char *room, int room_len, int writing, void *asked)
{
    (void)room, (void)room_len, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *key_of(const char *text, bool *ret_encrypted)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key;

    *ret_encrypted = false;
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, ret_encrypted);
    ERR_clear_error();
    BIO_free(bio);
    return key;
}

/* What TLS has against certificates that are whole: a key that is too short by the system's rules, a hash too weak. NULL: nothing. */
static const char *tls_refuses(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    SSL_CTX *tls = SSL_CTX_new(TLS_method());
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool good = SSL_CTX_use_certificate(tls, cert) == 1;
    const char *reason;

    X509_free(cert);
    while (good && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        good = SSL_CTX_add1_chain_cert(tls, cert) == 1;
        X509_free(cert);
    }
    reason = good ? NULL : ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    SSL_CTX_free(tls);
    BIO_free(bio);
    return good || reason ? reason : "for no reason given";
}

/* ---- all of them ---- */

static when_ms when_of(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) ? (when_ms)timegm(&tm) * 1000 : 0;
}

static int check_key(const struct certificate_files *files, X509 *cert, const char *text, struct fr_err *err)
{
    bool encrypted;
    EVP_PKEY *key = key_of(text, &encrypted);
    int fits = key ? X509_check_private_key(cert, key) : 0;

    EVP_PKEY_free(key);
    ERR_clear_error();
    if (encrypted)
        return fr_fail(err, FR_CONFIG, "%s: '%s' needs a passphrase; a key without one is wanted", files->key.key, files->key.path);
    if (!key)
        return fr_fail(err, FR_CONFIG, "%s: '%s' holds no private key in PEM", files->key.key, files->key.path);
    if (!fits)
        return fr_fail(err, FR_CONFIG, "%s: '%s' is not the key of the certificate in '%s' (%s)", files->key.key, files->key.path,
                       files->cert.path, files->cert.key);
    return FR_OK;
}

static int no_certificate(const struct certificate_file *file, struct fr_err *err)
{
    return fr_fail(err, FR_CONFIG, "%s: '%s' holds no certificate in PEM, or one that is not whole", file->key, file->path);
}

static int check_rules(const struct certificate_files *files, const char *text, struct fr_err *err)
{
    const char *reason = tls_refuses(text);

    return reason ? fr_fail(err, FR_CONFIG, "%s: TLS does not take '%s': %s", files->cert.key, files->cert.path, reason) : FR_OK;
}

static int check_texts(struct certificate *certificate, const struct certificate_texts *texts, struct fr_err *err)
{
    const struct certificate_files *files = &certificate->files;
    X509 *cert = texts->cert ? first_of(texts->cert) : NULL, *ca = texts->ca ? first_of(texts->ca) : NULL;
    int status = FR_OK;

    if (texts->cert && !cert)
        status = no_certificate(&files->cert, err);
    else if (texts->ca && !ca)
        status = no_certificate(&files->ca, err);
    else if (cert)
        status = check_key(files, cert, texts->key, err);
    if (status == FR_OK && cert)
        status = check_rules(files, texts->cert, err);
    if (status == FR_OK) {
        certificate->starts = cert ? when_of(X509_get0_notBefore(cert)) : 0;
        certificate->expires = cert ? when_of(X509_get0_notAfter(cert)) : 0;
    }
    X509_free(cert);
    X509_free(ca);
    return status;
}

static int read_texts(const struct certificate_files *files, struct certificate_texts *texts, struct fr_err *err)
{
    int status = FR_OK;

    if (*files->cert.path) {
        status = read_text(&files->cert, &texts->cert, err);
        if (status == FR_OK)
            status = read_text(&files->key, &texts->key, err);
    }
    if (status == FR_OK && *files->ca.path)
        status = read_text(&files->ca, &texts->ca, err);
    return status;
}

int certificate_read(struct certificate *certificate, struct fr_err *err)
{
    struct certificate_texts texts = {0}, old;
    int status = read_texts(&certificate->files, &texts, err);

    if (status == FR_OK)
        status = check_texts(certificate, &texts, err);
    if (status != FR_OK) {
        certificate_texts_release(&texts);
        return status;
    }
    pthread_mutex_lock(&certificate->lock);
    old = certificate->texts;
    certificate->texts = texts;
    certificate->number++;
    pthread_mutex_unlock(&certificate->lock);
    certificate_texts_release(&old);
    return FR_OK;
}

/* ---- birth and death ---- */

static struct certificate_file copy_of(struct certificate_file file)
{
    return (struct certificate_file){fr_strdup(file.key), fr_strdup(file.path ? file.path : "")};
}

static void release(struct certificate_file file)
{
    free((char *)(uintptr_t)file.key);
    free((char *)(uintptr_t)file.path);
}

int certificate_open(struct certificate **ret_certificate, const struct certificate_files *files, struct fr_err *err)
{
    struct certificate *certificate = fr_zalloc(1, sizeof *certificate);
    int status;

    certificate->files = (struct certificate_files){copy_of(files->cert), copy_of(files->key), copy_of(files->ca)};
    pthread_mutex_init(&certificate->lock, NULL);
    status = certificate_read(certificate, err);
    if (status == FR_OK)
        *ret_certificate = certificate;
    else
        certificate_free(certificate);
    return status;
}

void certificate_free(struct certificate *certificate)
{
    if (!certificate)
        return;
    certificate_texts_release(&certificate->texts);
    pthread_mutex_destroy(&certificate->lock);
    release(certificate->files.cert);
    release(certificate->files.key);
    release(certificate->files.ca);
    free(certificate);
}

/* ---- for those who show it ---- */

when_ms certificate_starts(const struct certificate *certificate)
{
    return certificate->starts;
}

when_ms certificate_expires(const struct certificate *certificate)
{
    return certificate->expires;
}

bool certificate_asks_callers(const struct certificate *certificate)
{
    return *certificate->files.ca.path != 0;
}

static char *copy_of_text(const char *text)
{
    return text ? fr_strdup(text) : NULL;
}

bool certificate_newer(struct certificate *certificate, uint64_t *seen, struct certificate_texts *ret_texts)
{
    bool newer;

    pthread_mutex_lock(&certificate->lock);
    newer = *seen != certificate->number;
    if (newer) {
        const struct certificate_texts *texts = &certificate->texts;
        *seen = certificate->number;
        *ret_texts = (struct certificate_texts){copy_of_text(texts->cert), copy_of_text(texts->key), copy_of_text(texts->ca)};
    }
    pthread_mutex_unlock(&certificate->lock);
    return newer;
}

void certificate_texts_release(struct certificate_texts *texts)
{
    if (texts->key)
        explicit_bzero(texts->key, strlen(texts->key));
    free(texts->cert);
    free(texts->key);
    free(texts->ca);
    *texts = (struct certificate_texts){0};
}
