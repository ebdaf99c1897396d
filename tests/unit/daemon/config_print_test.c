/*
 * config_print_test.c -- the configuration as people see it: printed, compared, documented.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_reading.h"

/* ---- for people ------------------------------------------------------------------------------------------------- */

static void a_printed_configuration_says_where_values_come_from_and_hides_secrets(void **state)
{
    struct config *cfg =
        finished("[kafka]\nsasl.username = me\nsasl.password = hunter2\nssl.key.pem = hunter2\n"
                 "sasl.oauthbearer.client.secret = hunter2\nssl.key.location = /key\n[sar]\nmode = parity\n");
    struct fr_writer out;

    (void)state;
    fr_writer_init(&out, 0);
    config_print(cfg, &out);
    fr_put_u8(&out, 0);
    assert_null(strstr(out.at, "hunter2"));
    assert_non_null(strstr(out.at, "sasl.password = ********"));
    assert_non_null(strstr(out.at, "ssl.key.location = /key "));
    assert_non_null(strstr(out.at, "; test.conf:3\n"));
    assert_non_null(strstr(out.at, "window = 0                                 ; default of sar.mode = parity\n"));
    assert_non_null(strstr(out.at, "threshold = 1                              ; default\n"));
    fr_writer_release(&out);
    config_free(cfg);
}

static void a_printed_configuration_reads_back_the_same(void **state)
{
    struct config
        *cfg = finished(
            "[sar]\nmode = parity\nhalf_life_days = 0.1\n[weights]\nzap = 1.7\n[limits]\nmax_message_bytes = 5000\n"
            "[feed]\nstart = 2001-09-09T01:46:40Z\n"),
        *again;
    struct fr_writer out, second;

    (void)state;
    fr_writer_init(&out, 0);
    fr_writer_init(&second, 0);
    config_print(cfg, &out);
    again = config_new();
    config_read_text(again, "printed", out.at, out.len);
    config_finish(again, &quiet);
    assert_string_equal(config_problems(again), "");
    assert_string_equal(cfg->shape.at, again->shape.at);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        fr_writer_reset(&out);
        fr_writer_reset(&second);
        config_value_text(cfg, id, &out);
        config_value_text(again, id, &second);
        assert_true(fr_bytes_equal(fr_written(&out), fr_written(&second)));
    }
    fr_writer_release(&out);
    fr_writer_release(&second);
    config_free(cfg);
    config_free(again);
}

static void note_change(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    fr_put_text(context, "%s%s: %s -> %s\n", key, reloads ? " (reloads)" : "", old ? old : "none", new ? new : "none");
}

static void a_comparison_names_every_difference_once(void **state)
{
    struct config *old = finished("[kafka]\nclient.id = a\nsasl.password = x\nlinger.ms = 5\n[weights]\nzap = 2\n");
    struct config *new =
        finished("[kafka]\nclient.id = b\nsasl.password = y\nacks = 1\n[weights]\nclick = 3\n[log]\nlevel = debug\n"
                 "[sar]\nwindow = 3\n");
    struct fr_writer out;

    (void)state;
    fr_writer_init(&out, 0);
    config_compare(old, new, note_change, &out);
    fr_put_u8(&out, 0);
    assert_string_equal(out.at, "sar.window: 10 -> 3\n"
                                "log.level (reloads): info -> debug\n"
                                "weights.click: 1 -> 3\n"
                                "weights.zap: 2 -> none\n"
                                "kafka.client.id: a -> b\n"
                                "kafka.sasl.password: ******** -> ********\n"
                                "kafka.linger.ms: 5 -> none\n"
                                "kafka.acks: none -> 1\n");
    fr_writer_release(&out);
    config_free(old);
    config_free(new);
}

static void the_documentation_is_up_to_date(void **state)
{
    const char *source = getenv("FRESHET_SOURCE");
    struct fr_writer docs;
    char path[1000], *text = fr_zalloc(1, 1 << 18);
    FILE *file;

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof path, "%s/ops/docs/configuration.md", source);
    file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, (1 << 18) - 1, file)] = 0;
    fclose(file);
    fr_writer_init(&docs, 0);
    config_docs(&docs);
    fr_put_u8(&docs, 0);
    if (strcmp(docs.at, text) != 0)
        fail_msg("%s is not what config.def says; run: freshetd --print-docs > ops/docs/configuration.md", path);
    fr_writer_release(&docs);
    free(text);
}

static void help_names_every_key(void **state)
{
    struct fr_writer help;

    (void)state;
    fr_writer_init(&help, 0);
    config_help(&help);
    fr_put_u8(&help, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        char line[200];

        snprintf(line, sizeof line, "  %s = %s", config_keys[id].name, config_keys[id].standard);
        assert_non_null(strstr(help.at, line));
    }
    fr_writer_release(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_printed_configuration_says_where_values_come_from_and_hides_secrets),
        cmocka_unit_test(a_printed_configuration_reads_back_the_same),
        cmocka_unit_test(a_comparison_names_every_difference_once),
        cmocka_unit_test(the_documentation_is_up_to_date),
        cmocka_unit_test(help_names_every_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
