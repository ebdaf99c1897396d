/*
 * security_test.c -- files of certificates and tokens that cannot be read for a while, and a certificate that is not valid yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "freshet/log.h"
#include "freshet/tokens.h"
#include "security.h"

static char folder[] = "/tmp/freshet-security-XXXXXX";

/* ---- files ---- */

static void put(const char *path, const char *text)
{
    FILE *file = fopen("new", "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
    assert_int_equal(rename("new", path), 0); /* another inode: it looks different whatever the clock says */
}

static void put_tokens(int count)
{
    char text[1024] = "", line[128];

    for (int i = 0; i < count; i++) {
        snprintf(line, sizeof line, "name%d read %064d\n", i, i + 1);
        strcat(text, line);
    }
    put("tokens", text);
}

/* One that is valid from so many seconds after now until so many; and its key. */
static void put_certificate(long from, long until)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *file;

    assert_true(key && cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), until);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_non_null(file = fopen("cert.pem", "w"));
    assert_true(PEM_write_X509(file, cert) && fclose(file) == 0);
    assert_non_null(file = fopen("key.pem", "w"));
    assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) && fclose(file) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- the daemon's part ---- */

struct world {
    struct config *cfg;
    struct security security;
    struct rlimit files;
};

static void look(struct world *world)
{
    world->security.looked_ns = 0; /* a second has gone by */
    security_look(&world->security);
}

static void a_minute_goes_by(struct world *world)
{
    assert_true(world->security.again_ns > 0);
    world->security.again_ns = 1;
}

static void open_world(struct world *world)
{
    security_open(&world->security, world->cfg);
    assert_int_equal(world->cfg->problems_len, 0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->cfg = config_new();
    *state = world;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    return !mkdtemp(folder) || chdir(folder) != 0 || getrlimit(RLIMIT_NOFILE, &world->files) != 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    setrlimit(RLIMIT_NOFILE, &world->files);
    security_close(&world->security);
    config_free(world->cfg);
    free(world);
    return system("rm -r -- \"$PWD\"");
}

static void take_all_files(const struct world *world)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = world->files.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(open("/dev/null", O_RDONLY), -1);
}

static int times_logged(const char *event)
{
    static struct fr_log_kept kept[FR_LOG_KEPT];
    size_t len = fr_log_recent(kept, FR_LOG_KEPT);
    int times = 0;

    for (size_t i = 0; i < len; i++)
        times += strcmp(kept[i].event, event) == 0 ? (int)kept[i].times : 0;
    return times;
}

/* ---- */

static void what_could_not_be_read_is_read_a_minute_later(void **state)
{
    struct world *world = *state;

    put_tokens(1);
    config_put(world->cfg, "serve", "tokens_file", "tokens", "test");
    open_world(world);
    assert_int_equal(tokens_len(world->security.tokens), 1);
    put_tokens(2);
    look(world);
    take_all_files(world);
    look(world); /* it has stood for a second */
    assert_int_equal(times_logged("tokens.refused"), 1);
    look(world);
    assert_int_equal(times_logged("tokens.refused"), 1); /* no flood */
    a_minute_goes_by(world);
    look(world);
    assert_int_equal(times_logged("tokens.refused"), 2);
    assert_int_equal(tokens_len(world->security.tokens), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &world->files), 0);
    look(world);
    assert_int_equal(tokens_len(world->security.tokens), 1);
    a_minute_goes_by(world);
    look(world);
    assert_int_equal(tokens_len(world->security.tokens), 2);
    assert_int_equal(world->security.again_ns, 0);
}

static void what_is_wrong_with_a_file_is_not_looked_for_again(void **state)
{
    struct world *world = *state;

    put_tokens(1);
    config_put(world->cfg, "serve", "tokens_file", "tokens", "test");
    open_world(world);
    put("tokens", "nonsense\n");
    look(world);
    look(world);
    assert_int_equal(world->security.again_ns, 0);
    assert_int_equal(unlink("tokens"), 0);
    look(world);
    look(world);
    assert_int_equal(world->security.again_ns, 0);
    assert_int_equal(tokens_len(world->security.tokens), 1);
}

static void a_certificate_that_is_not_valid_yet_is_told(void **state)
{
    struct world *world = *state;

    put_certificate(-60, 86400 * 30);
    config_put(world->cfg, "serve", "tls_cert", "cert.pem", "test");
    config_put(world->cfg, "serve", "tls_key", "key.pem", "test");
    open_world(world);
    security_warn(&world->security, world->cfg);
    assert_int_equal(times_logged("certificate.early"), 0);
    put_certificate(3600, 86400 * 30);
    assert_int_equal(security_read(&world->security, NULL), FR_OK);
    assert_int_equal(times_logged("certificate.early"), 1);
    assert_int_equal(times_logged("certificate.expires"), 0);
    security_warn(&world->security, world->cfg); /* at a start, too */
    assert_int_equal(times_logged("certificate.early"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_could_not_be_read_is_read_a_minute_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_a_file_is_not_looked_for_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_that_is_not_valid_yet_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
