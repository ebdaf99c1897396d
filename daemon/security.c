/*
 * security.c -- certificates and tokens: read, watched, read again.
 *
 * Files are watched by looking at them: what a second-hand name leads to (Kubernetes swaps a symbolic link two folders up), a
 * notification would not tell. A change counts once it has stood for one look, so that a certificate and its key, which are
 * replaced one after the other, are read together.
 */
#include "security.h"

#include <string.h>
#include <sys/stat.h>

#include "freshet/address.h"
#include "freshet/certificate.h"
#include "freshet/clock.h"
#include "freshet/metric.h"
#include "freshet/tokens.h"

static const when_ms day_ms = 86400000;
enum { SOON_DAYS = 7 };

/* ---- what the files look like ---- */

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9E3779B97F4A7C15U;
    return sum ^ sum >> 29;
}

static uint64_t look_of(const struct security *security)
{
    uint64_t sum = 1;

    for (size_t i = 0; i < security->watched_len; i++) {
        struct stat stat_now = {0};
        stat(security->watched[i], &stat_now); /* one that is gone looks like nothing */
        sum = mix(sum, (uint64_t)stat_now.st_ino);
        sum = mix(sum, (uint64_t)stat_now.st_size);
        sum = mix(sum, (uint64_t)stat_now.st_mtim.tv_sec);
        sum = mix(sum, (uint64_t)stat_now.st_mtim.tv_nsec);
        sum = mix(sum, (uint64_t)stat_now.st_ctim.tv_sec); /* what was allowed to be read by whom may have changed */
        sum = mix(sum, (uint64_t)stat_now.st_ctim.tv_nsec);
    }
    return sum;
}

/* ---- reading ---- */

/* Of both listeners, 0 where there is none. */
static void show_expiry(const struct security *security)
{
    const struct certificate *const both[] = {security->serve, security->admin};
    const char *const names[] = {"serve", "admin"};

    for (int i = 0; i < 2; i++)
        fr_gauge(fr_series(FR_M_CERTIFICATE_EXPIRATION, names[i], "", ""),
                 both[i] ? (double)certificate_expires(both[i]) * 1e-3 : 0);
}

/* What keeps clients from taking it, now or soon. By our clock: theirs decide. */
static void say_validity(const struct certificate *certificate, const char *listener)
{
    when_ms now = fr_wall_ms(), begins = certificate_starts(certificate), ends = certificate_expires(certificate), left = ends - now;
    char when[32];

    if (begins > now)
        fr_log(FR_WARN, "security", "certificate.early",
               FR_FIELDS(FR_TEXT("listener", listener), FR_TEXT("when", fr_time_text(begins, when))),
               "the certificate of %s is not valid yet: no client will take it before that", listener);
    if (left < SOON_DAYS * day_ms)
        fr_log(FR_WARN, "security", left < 0 ? "certificate.expired" : "certificate.expires",
               FR_FIELDS(FR_TEXT("listener", listener), FR_TEXT("when", fr_time_text(ends, when))),
               "the certificate of %s %s", listener, left < 0 ? "has expired: no client will take it" : "expires soon");
}

static int read_certificate(struct certificate *certificate, const char *listener, struct fr_err *err)
{
    char when[32];

    if (!certificate)
        return FR_OK;
    if (certificate_read(certificate, err) != FR_OK) {
        fr_log(FR_ERROR, "security", "certificate.refused", FR_FIELDS(FR_TEXT("listener", listener)),
               "%s; the old certificate stays", err->text);
        return (int)err->code;
    }
    fr_log(FR_INFO, "security", "certificate.read",
           FR_FIELDS(FR_TEXT("listener", listener), FR_TEXT("until", fr_time_text(certificate_expires(certificate), when))),
           "certificate read; new connections get it");
    say_validity(certificate, listener);
    return FR_OK;
}

static int read_tokens(struct tokens *tokens, struct fr_err *err)
{
    if (!tokens)
        return FR_OK;
    if (tokens_read(tokens, err) != FR_OK) {
        fr_while(err, "serve.tokens_file: ");
        fr_log(FR_ERROR, "security", "tokens.refused", FR_NO_FIELDS, "%s; the old tokens stay", err->text);
        return (int)err->code;
    }
    fr_log(FR_INFO, "security", "tokens.read", FR_FIELDS(FR_INT("tokens", tokens_len(tokens))), "tokens read");
    return FR_OK;
}

/* All of them, whatever is wrong with one. Under the lock. */
static int read_files(struct security *security, struct fr_err *err)
{
    struct fr_err wrong = {0};
    int each[3] = {FR_OK, FR_OK, FR_OK};
    bool bad = false, passes = false;

    security->seen = security->read = look_of(security); /* before: what changes meanwhile is a change */
    each[0] = read_certificate(security->serve, "serve.listen", &wrong);
    if (security->admin != security->serve)
        each[1] = read_certificate(security->admin, "admin.grpc_listen", &wrong);
    each[2] = read_tokens(security->tokens, &wrong);
    for (int i = 0; i < 3; i++) {
        bad = bad || each[i] != FR_OK;
        passes = passes || each[i] == FR_IO;
    }
    security->again_ns = passes ? fr_mono_ns() + SECURITY_AGAIN_MS * UINT64_C(1000000) : 0;
    show_expiry(security);
    return bad ? fr_fail(err, FR_CONFIG, "%s", wrong.text) : FR_OK;
}

int security_read(struct security *security, struct fr_err *err)
{
    int status;

    pthread_mutex_lock(&security->lock);
    status = read_files(security, err);
    pthread_mutex_unlock(&security->lock);
    return status;
}

int security_look_ms(const struct security *security)
{
    return security->watched_len ? SECURITY_LOOK_MS : -1;
}

void security_look(struct security *security)
{
    uint64_t now_ns = fr_mono_ns(), look;

    if (!security->watched_len || now_ns - security->looked_ns < SECURITY_LOOK_MS * UINT64_C(900000))
        return;
    security->looked_ns = now_ns;
    pthread_mutex_lock(&security->lock);
    look = look_of(security);
    if (look == security->seen && (look != security->read || (security->again_ns && now_ns >= security->again_ns)))
        read_files(security, NULL); /* it logs what is wrong */
    security->seen = look;
    pthread_mutex_unlock(&security->lock);
}

/* ---- the start and the end ---- */

static struct certificate *open_certificate(struct config *cfg, const struct certificate_files *files)
{
    struct certificate *certificate = NULL;
    struct fr_err err = {0};

    if (certificate_open(&certificate, files, &err) != FR_OK)
        config_problem(cfg, "%s", err.text);
    return certificate;
}

static bool same_files(const struct certificate_files *a, const struct certificate_files *b)
{
    return a->cert.path == b->cert.path && a->key.path == b->key.path && a->ca.path == b->ca.path;
}

static void watch_files(struct security *security, const struct config *cfg)
{
    const char *paths[] = {cfg->serve.tls_cert, cfg->serve.tls_key,       cfg->serve.tls_client_ca, cfg->admin.tls_cert,
                           cfg->admin.tls_key,  cfg->admin.tls_client_ca, cfg->serve.tokens_file};
    for (size_t i = 0; i < SECURITY_FILES; i++)
        if (*paths[i])
            security->watched[security->watched_len++] = paths[i];
    security->seen = security->read = look_of(security);
}

void security_open(struct security *security, struct config *cfg)
{
    struct certificate_files serve, admin;
    struct fr_err err = {0};

    pthread_mutex_init(&security->lock, NULL);
    watch_files(security, cfg); /* before they are read: what changes meanwhile is a change */
    if (config_certificate(cfg, false, &serve))
        security->serve = open_certificate(cfg, &serve);
    if (config_certificate(cfg, true, &admin))
        security->admin = same_files(&serve, &admin) ? security->serve : open_certificate(cfg, &admin);
    if (*cfg->serve.tokens_file && tokens_open(&security->tokens, cfg->serve.tokens_file, &err) != FR_OK)
        config_problem(cfg, "serve.tokens_file: %s", err.text);
    show_expiry(security);
}

void security_close(struct security *security)
{
    if (security->admin != security->serve)
        certificate_free(security->admin);
    certificate_free(security->serve);
    tokens_free(security->tokens);
    pthread_mutex_destroy(&security->lock);
    *security = (struct security){0};
}

/* ---- what is open to whom ---- */

static void warn(const char *key, const char *listen, const char *what)
{
    fr_log(FR_WARN, "security", "listener.open", FR_FIELDS(FR_TEXT("key", key), FR_TEXT("listen", listen)), "%s = %s %s", key,
           listen, what);
}

static void warn_grpc(const char *key, const char *listen, const struct certificate *certificate, bool tokens)
{
    if (fr_address_local(listen))
        return;
    if (!certificate)
        warn(key, listen, tokens ? "is open to the network without TLS: tokens can be read on their way"
                                 : "is open to the network without TLS: what is said can be read and changed on its way");
    if (!tokens && !(certificate && certificate_asks_callers(certificate)))
        warn(key, listen, "is open to the network without tokens or mTLS: whoever reaches it may ask");
}

void security_warn(const struct security *security, const struct config *cfg)
{
    warn_grpc("serve.listen", cfg->serve.listen, security->serve, security->tokens);
    warn_grpc("admin.grpc_listen", cfg->admin.grpc_listen, security->admin, security->tokens);
    if (!fr_address_local(cfg->admin.listen))
        warn("admin.listen", cfg->admin.listen,
             cfg->admin.http_auth ? "is open to the network, and HTTP has no TLS: tokens can be read on their way"
                                  : "is open to the network without admin.http_auth: whoever reaches it may look");
    if (security->serve)
        say_validity(security->serve, "serve.listen");
    if (security->admin && security->admin != security->serve)
        say_validity(security->admin, "admin.grpc_listen");
}
