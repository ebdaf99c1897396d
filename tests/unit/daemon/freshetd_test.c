/*
 * freshetd_test.c -- the program itself, from outside: options, exit codes, signals, the lock, who hears of it. What it does with a
 * store that is there: freshetd_store_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "freshetd_process.h"

/* The port behind " http=127.0.0.1:" and its like in the line "ready ...". */
static int port_of(const struct process *process, const char *name)
{
    char word[40];
    const char *at;

    snprintf(word, sizeof word, " %s=127.0.0.1:", name);
    at = strstr(process->said, word);
    assert_non_null(at);
    return atoi(at + strlen(word));
}

static int http_status(int port, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char text[400];
    int fd = socket(AF_INET, SOCK_STREAM, 0), len = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
    ssize_t got;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    got = recv(fd, text, sizeof text - 1, MSG_WAITALL);
    close(fd);
    assert_true(got > 12);
    text[got] = 0;
    return atoi(text + 9);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void usage_errors_exit_2_and_versions_are_told(void **state)
{
    struct process process;

    (void)state;
    START(&process, false, "--no-such-option");
    assert_int_equal(exit_code(&process), 2);
    START(&process, false, "stray");
    assert_int_equal(exit_code(&process), 2);
    assert_said(&process, "unexpected argument 'stray'");
    START(&process, false, "--version");
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "librdkafka ");
    assert_said(&process, "RocksDB ");
    assert_said(&process, "gRPC ");
    START(&process, false, "--help");
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "usage: freshetd");
}

static void a_configuration_can_be_checked_without_starting(void **state)
{
    struct process process;

    (void)state;
    write_file("good.conf", "[kafka]\nbootstrap.servers = nowhere.invalid:9092\n[feed]\ntopic = clicks\n");
    write_file("bad.conf", "[kafka]\nbootstrap.servers = h:1\nenable.auto.commit = yes\n[feed]\ntopik = clicks\n");
    START(&process, false, "--check-config", "--config", "good.conf");
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "the configuration is good");
    assert_null(strstr(process.said, "bootstrap.servers")); /* which is there */
    START(&process, false, "--check-config", "--config", "bad.conf");
    assert_int_equal(exit_code(&process), 78);
    assert_said(&process, "bad.conf:3: kafka.enable.auto.commit is owned by Freshet");
    assert_said(&process, "bad.conf:5: unknown key 'feed.topik'; the nearest known key is 'feed.topic'");
    START(&process, false, "--config", "bad.conf");
    assert_int_equal(exit_code(&process), 78);
    setenv("FRESHET_KAFKA__LOG_LEVEL", "3", 1); /* log_level, not log.level */
    START(&process, false, "--print-config", "--config", "good.conf");
    unsetenv("FRESHET_KAFKA__LOG_LEVEL");
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "log_level = 3 ");
    START(&process, false, "--check-config", "--config", "good.conf", "--set", "foo"); /* no setting at all */
    assert_int_equal(exit_code(&process), 2);
    assert_said(&process, "--set: 'foo' is not section.key=value");
    START(&process, false, "--check-config", "--config", "good.conf", "--set", "sar.window=foo");
    assert_int_equal(exit_code(&process), 78);
    write_file("sasl.conf", "[kafka]\nbootstrap.servers = nowhere.invalid:9092\n"
                            "security.protocol = sasl_plaintext\nsasl.mechanism = PLAIN\n");
    START(&process, false, "--check-config", "--config", "sasl.conf"); /* each good by itself */
    assert_int_equal(exit_code(&process), 78);
    assert_said(&process, "cannot make the Kafka client for the consumer: ");
    START(&process, false, "--check-config", "--config", "sasl.conf", "--set", "kafka.sasl.username=u", "--set", "kafka.sasl.password=p");
    assert_int_equal(exit_code(&process), 0);
    START(&process, false, "--print-config", "--config", "good.conf", "--set", "kafka.sasl.password=hunter2");
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "topic = clicks ");
    assert_said(&process, "; good.conf:4\n");
    assert_said(&process, "sasl.password = ********");
    assert_null(strstr(process.said, "hunter2"));
    assert_false(there_is("freshet-data"));
}

static void it_starts_answers_and_drains(void **state)
{
    struct process process;
    int http;

    (void)state;
    START(&process, true, "--set", "log.level=info");
    wait_until_said(&process, "\nready ");
    assert_said(&process, "broker 127.0.0.1:");
    wait_until_said(&process, "\"event\":\"ready\"");
    http = port_of(&process, "http");
    assert_true(port_of(&process, "grpc") > 0);
    assert_true(port_of(&process, "admin_grpc") > 0);
    assert_int_equal(http_status(http, "/startupz"), 200);
    assert_int_equal(http_status(http, "/readyz"), 200);
    assert_int_equal(http_status(http, "/livez"), 200);
    assert_int_equal(http_status(http, "/metrics"), 200);
    kill(process.id, SIGUSR1);
    wait_until_said(&process, "\"event\":\"checkpoint.asked\"");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "\"event\":\"drain\"");
    assert_said(&process, "\"event\":\"stopped\"");
    assert_true(there_is("freshet-data/store"));
}

/* Until a datagram that contains `text` comes; fails on one with `never` (NULL: nothing) before. */
static void wait_until_told(int socket, const char *text, const char *never)
{
    char told[1000];

    do {
        ssize_t got = recv(socket, told, sizeof told - 1, 0);
        assert_true(got > 0);
        told[got] = 0;
        if (never && strstr(told, never))
            fail_msg("told '%s' before '%s'", told, text);
    } while (!strstr(told, text));
}

/* Signals that come faster than the beat, which is a tenth of a second here. */
static void assert_beats_between_signals(int manager, pid_t process)
{
    enum { SIGNALS_MOST = 2000, PACE_US = 5000, BEATS = 20 };
    const struct timeval pace = {.tv_usec = PACE_US}, none = {0};
    char told[1000];
    int beats = 0;

    setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &pace, sizeof pace);
    for (int i = 0; i < SIGNALS_MOST && beats < BEATS; i++) {
        kill(process, SIGUSR1);
        for (ssize_t got; (got = recv(manager, told, sizeof told - 1, 0)) > 0;) {
            told[got] = 0;
            beats += strstr(told, "WATCHDOG=1") != NULL;
        }
    }
    setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    assert_true(beats >= BEATS);
}

static void the_service_manager_hears_how_it_goes(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct process process;
    int manager = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", home);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    write_file("f.conf", "[log]\nlevel = info\n");
    START(&process, true, "--config", "f.conf", "--set", "serve.drain_delay_ms=5000");
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    wait_until_told(manager, "STATUS=loading", "READY=1");
    wait_until_told(manager, "READY=1", "WATCHDOG=1");
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=answering", NULL);
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=answering", NULL);
    assert_beats_between_signals(manager, process.id);
    kill(process.id, SIGHUP);
    wait_until_told(manager, "RELOADING=1\nMONOTONIC_USEC=", NULL);
    wait_until_told(manager, "READY=1", "RELOADING=1");
    wait_until_said(&process, "\nready ");
    kill(process.id, SIGTERM);
    wait_until_told(manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=", "STATUS=draining");
    assert_int_equal(http_status(port_of(&process, "http"), "/readyz"), 503); /* within the delay */
    assert_int_equal(http_status(port_of(&process, "http"), "/livez"), 200);
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=draining: still answering", NULL);
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=draining: dead letters", NULL);
    assert_int_equal(exit_code(&process), 0);
    close(manager);
}

/* The first pipe would be its stdout and stderr, and what is said there a signal to end. */
static void it_runs_without_stdout_and_stderr(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct process process;
    int manager = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/unheard", home);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    start_heard(&process, UNHEARD, true, (const char *const[]){"--set", "store.path=unheard-data", NULL});
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    wait_until_told(manager, "READY=1", "STOPPING=1");
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=answering", "STOPPING=1");
    wait_until_told(manager, "WATCHDOG=1\nSTATUS=answering", "STOPPING=1"); /* the line that it is ready has been written */
    kill(process.id, SIGTERM);
    wait_until_told(manager, "STOPPING=1", NULL);
    assert_int_equal(exit_code(&process), 0);
    assert_string_equal(process.said, "");
    close(manager);
}

static void what_it_prints_and_cannot_write_is_not_taken_for_printed(void **state)
{
    static const char *const tasks[] = {"--help", "--version", "--print-docs", "--print-config", "--check-config"};
    struct process process;

    (void)state;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        start_heard(&process, FULL, true, (const char *const[]){tasks[i], NULL});
        assert_int_equal(exit_code(&process), 74);
        assert_string_equal(process.said, "cannot write the output: No space left on device\n");
    }
}

static void a_second_signal_does_not_wait_for_the_first(void **state)
{
    struct process process;

    (void)state;
    START(&process, true, "--set", "serve.drain_delay_ms=600000"); /* far beyond the test's patience */
    wait_until_said(&process, "\"event\":\"ready\"");
    kill(process.id, SIGTERM);
    wait_until_said(&process, "\"event\":\"drain\"");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
    assert_said(&process, "\"event\":\"stop.at_once\"");
    assert_null(strstr(process.said, "\"event\":\"stopped\""));
}

static void a_second_one_on_the_same_directory_is_refused(void **state)
{
    struct process first, second;

    (void)state;
    START(&first, true, "--set", "store.path=data/deep");
    wait_until_said(&first, "\nready ");
    START(&second, true, "--set", "store.path=data/deep");
    assert_int_equal(exit_code(&second), 75);
    assert_said(&second, "'data/deep' is held by another freshetd (process ");
    kill(first.id, SIGINT);
    assert_int_equal(exit_code(&first), 0);
    START(&second, true, "--set", "store.path=data/deep");
    wait_until_said(&second, "\nready ");
    kill(second.id, SIGTERM);
    assert_int_equal(exit_code(&second), 0);
}

static void a_reload_applies_what_it_can_and_reports_the_rest(void **state)
{
    struct process process;

    (void)state;
    write_file("f.conf", "[log]\nlevel = info\n");
    START(&process, true, "--config", "f.conf");
    wait_until_said(&process, "\nready ");
    write_file("f.conf", "[log]\nlevel = debug\n[sar]\nthreshold = 2\n");
    kill(process.id, SIGHUP);
    wait_until_said(&process, "\"event\":\"reload.done\"");
    assert_said(&process, "log.level has a new value");
    assert_said(&process, "sar.threshold has changed and waits for a restart");
    assert_null(strstr(process.said, "kafka.bootstrap.servers has changed"));
    write_file("f.conf", "[log]\nlevel = loud\n");
    kill(process.id, SIGHUP);
    wait_until_said(&process, "\"event\":\"reload.refused\"");
    assert_said(&process, "log.level = 'loud' is not one of: debug info warn error");
    kill(process.id, SIGTERM);
    assert_int_equal(exit_code(&process), 0);
}

/* As a later version would: a bit that says that old programs must not touch this. */
static void an_address_that_is_taken_is_a_matter_of_configuration(void **state)
{
    struct process first, second;
    char setting[60];

    (void)state;
    START(&first, true, "--set", "store.path=first");
    wait_until_said(&first, "\nready ");
    snprintf(setting, sizeof setting, "admin.listen=127.0.0.1:%d", port_of(&first, "http"));
    START(&second, true, "--set", "store.path=second", "--set", setting);
    assert_int_equal(exit_code(&second), 78);
    assert_said(&second, "Address already in use");
    snprintf(setting, sizeof setting, "serve.listen=127.0.0.1:%d", port_of(&first, "grpc"));
    START(&second, true, "--set", "store.path=second", "--set", setting);
    assert_int_equal(exit_code(&second), 78);
    assert_said(&second, setting + strlen("serve.listen="));
    kill(first.id, SIGTERM);
    assert_int_equal(exit_code(&first), 0);
}

static void a_directory_that_cannot_be_made_is_a_matter_of_the_disk(void **state)
{
    struct process process;

    (void)state;
    write_file("plain", "");
    START(&process, true, "--set", "store.path=plain/data");
    assert_int_equal(exit_code(&process), 74);
    assert_said(&process, "cannot make data directory 'plain/data'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(usage_errors_exit_2_and_versions_are_told, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_configuration_can_be_checked_without_starting, make_home, remove_home),
        cmocka_unit_test_setup_teardown(it_starts_answers_and_drains, make_home, remove_home),
        cmocka_unit_test_setup_teardown(the_service_manager_hears_how_it_goes, make_home, remove_home),
        cmocka_unit_test_setup_teardown(it_runs_without_stdout_and_stderr, make_home, remove_home),
        cmocka_unit_test_setup_teardown(what_it_prints_and_cannot_write_is_not_taken_for_printed, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_second_signal_does_not_wait_for_the_first, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_second_one_on_the_same_directory_is_refused, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_reload_applies_what_it_can_and_reports_the_rest, make_home, remove_home),
        cmocka_unit_test_setup_teardown(an_address_that_is_taken_is_a_matter_of_configuration, make_home, remove_home),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_made_is_a_matter_of_the_disk, make_home,
                                        remove_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
