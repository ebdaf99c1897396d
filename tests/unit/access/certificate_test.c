/*
 * certificate_test.c -- certificates and keys that openssl makes, in order and out of order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "freshet/certificate.h"

static char folder[] = "/tmp/freshet-certificate-XXXXXX";

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("%s", command);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
#define MAKE "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj /CN=localhost "
    run(MAKE "-keyout a.key -out a.pem 2>/dev/null");
    run(MAKE "-keyout b.key -out b.pem 2>/dev/null");
    run("openssl req -x509 -newkey rsa:1024 -nodes -subj /CN=short -keyout short.key -out short.pem 2>/dev/null");
    run("cat a.pem short.pem >short_chain.pem; openssl ec -in a.key -aes128 -passout pass:secret -out locked.key 2>/dev/null");
    run("cat a.pem b.pem >chain.pem; cat a.pem >half.pem; head -c 200 b.pem >>half.pem; echo nonsense >text");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return system("rm -r -- \"$PWD\"");
}

static struct certificate_files files(const char *cert, const char *key, const char *client_ca)
{
    return (struct certificate_files){{"serve.tls_cert", cert}, {"serve.tls_key", key}, {"serve.tls_client_ca", client_ca}};
}

static void what_is_in_order_is_taken(void **state)
{
    struct certificate *certificate;
    struct certificate_files good = files("chain.pem", "a.key", "b.pem");
    struct certificate_texts texts;
    struct fr_err err;
    uint64_t seen = 0;
    int64_t days;

    (void)state;
    assert_int_equal(certificate_open(&certificate, &good, &err), FR_OK);
    assert_true(certificate_asks_callers(certificate));
    days = (certificate_expires(certificate) - fr_wall_ms() + 43200000) / 86400000;
    assert_int_equal(days, 10);
    assert_true(certificate_newer(certificate, &seen, &texts));
    assert_non_null(strstr(texts.cert, "BEGIN CERTIFICATE"));
    assert_non_null(strstr(texts.key, "PRIVATE KEY"));
    assert_non_null(texts.ca);
    certificate_texts_release(&texts);
    assert_false(certificate_newer(certificate, &seen, &texts));
    certificate_free(certificate);
}

static void what_is_wrong_is_named_by_key_and_file(void **state)
{
    static const struct {
        const char *cert, *key, *client_ca, *says;
    } cases[] = {
        {"none.pem", "a.key", "", "serve.tls_cert: cannot read 'none.pem': No such file or directory"},
        {"text", "a.key", "", "serve.tls_cert: 'text' holds no certificate in PEM, or one that is not whole"},
        {"half.pem", "a.key", "", "serve.tls_cert: 'half.pem' holds no certificate in PEM, or one that is not whole"},
        {"a.key", "a.pem", "", "serve.tls_cert: 'a.key' holds no certificate in PEM, or one that is not whole"},
        {"/dev/null", "a.key", "", "serve.tls_cert: cannot read '/dev/null': it is no regular file"},
        {"a.pem", "none.key", "", "serve.tls_key: cannot read 'none.key': No such file or directory"},
        {"a.pem", "text", "", "serve.tls_key: 'text' holds no private key in PEM"},
        {"a.pem", "b.key", "", "serve.tls_key: 'b.key' is not the key of the certificate in 'a.pem' (serve.tls_cert)"},
        {"a.pem", "locked.key", "", "serve.tls_key: 'locked.key' needs a passphrase; a key without one is wanted"},
        {"short.pem", "short.key", "", "serve.tls_cert: TLS does not take 'short.pem': ee key too small"},
        {"short_chain.pem", "a.key", "", "serve.tls_cert: TLS does not take 'short_chain.pem': ca key too small"},
        {"a.pem", "a.key", "none.pem", "serve.tls_client_ca: cannot read 'none.pem': No such file or directory"},
        {"a.pem", "a.key", "b.key", "serve.tls_client_ca: 'b.key' holds no certificate in PEM, or one that is not whole"},
    };
    struct certificate *certificate;
    struct fr_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct certificate_files bad = files(cases[i].cert, cases[i].key, cases[i].client_ca);
        assert_int_equal(certificate_open(&certificate, &bad, &err), FR_CONFIG);
        assert_string_equal(err.text, cases[i].says);
    }
}

static void a_new_file_is_read_and_a_bad_one_leaves_the_old(void **state)
{
    struct certificate *certificate;
    struct certificate_files now = files("now.pem", "now.key", "");
    struct certificate_texts first, second;
    struct fr_err err;
    uint64_t seen = 0;

    (void)state;
    run("cp a.pem now.pem; cp a.key now.key");
    assert_int_equal(certificate_open(&certificate, &now, &err), FR_OK);
    assert_false(certificate_asks_callers(certificate));
    assert_true(certificate_newer(certificate, &seen, &first));
    assert_null(first.ca);
    run("cp b.pem now.pem"); /* and its key not yet */
    assert_int_equal(certificate_read(certificate, &err), FR_CONFIG);
    assert_false(certificate_newer(certificate, &seen, &second));
    run("cp b.key now.key");
    assert_int_equal(certificate_read(certificate, &err), FR_OK);
    assert_true(certificate_newer(certificate, &seen, &second));
    assert_string_not_equal(first.cert, second.cert);
    certificate_texts_release(&first);
    certificate_texts_release(&second);
    certificate_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_order_is_taken),
        cmocka_unit_test(what_is_wrong_is_named_by_key_and_file),
        cmocka_unit_test(a_new_file_is_read_and_a_bad_one_leaves_the_old),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
