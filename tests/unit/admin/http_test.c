/*
 * http_test.c -- the operators' HTTP, asked over a real socket by a client that knows nothing but bytes.
 *
 * fr_pulse_all is replaced at link time (CMakeLists.txt), because a loop counts as stuck only after half a minute.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freshet/admin.h"
#include "freshet/life.h"
#include "freshet/metric.h"
#include "freshet/tokens.h"

static _Atomic(const char *) stuck_loop;

bool __wrap_fr_pulse_all(const char **ret_stuck);

bool __wrap_fr_pulse_all(const char **ret_stuck)
{
    const char *name = stuck_loop;

    if (name)
        *ret_stuck = name;
    return !name;
}

/* ---- a client --------------------------------------------------------------------------------------------------- */

enum { ANSWER_MAX = 1 << 20 };
static char answer[ANSWER_MAX]; /* head and body of the last one */

static int connect_to(int family, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
    int fd = socket(family, SOCK_STREAM, 0);

    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                                       : connect(fd, (struct sockaddr *)&v6, sizeof v6),
                     0);
    return fd;
}

/* Sends all of it, reads until the other side closes. */
static void exchange(int fd, const char *request, size_t len)
{
    size_t got = 0;
    ssize_t n;

    while (len > 0 && (n = send(fd, request, len, MSG_NOSIGNAL)) > 0) {
        request += n;
        len -= (size_t)n;
    }
    while (got < ANSWER_MAX - 1 && (n = recv(fd, answer + got, ANSWER_MAX - 1 - got, 0)) > 0)
        got += (size_t)n;
    answer[got] = 0;
    close(fd);
}

/* "GET /livez" and further header lines, each with \r\n. Returns the status. */
static int ask(const struct admin *admin, const char *line, const char *headers)
{
    char request[1000];
    int len = snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n", line,
                       headers);

    exchange(connect_to(AF_INET, admin_port(admin)), request, (size_t)len);
    assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
    return atoi(answer + 9);
}

static const char *body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static const struct admin_options local = {.listen = "127.0.0.1:0", .history_step = 10000};

static int start_on(struct admin **ret_admin, const char *listen, struct fr_err *err)
{
    struct admin_options options = {.listen = listen, .history_step = 10000};

    return admin_start(ret_admin, &options, err);
}

static int start(void **state)
{
    struct admin *admin;
    struct fr_err err;

    stuck_loop = NULL;
    fr_state_set(FR_STARTING);
    if (admin_start(&admin, &local, &err) != FR_OK)
        return -1;
    *state = admin;
    return 0;
}

static int stop(void **state)
{
    admin_stop(*state);
    return 0;
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void started_and_ready_follow_the_state(void **state)
{
    assert_int_equal(ask(*state, "GET /startupz", ""), 503);
    assert_string_equal(body(), "starting\n");
    assert_int_equal(ask(*state, "GET /readyz", ""), 503);
    fr_state_set(FR_RUNNING);
    assert_int_equal(ask(*state, "GET /startupz", ""), 200);
    assert_int_equal(ask(*state, "GET /readyz", ""), 200);
    assert_string_equal(body(), "running\n");
    fr_state_set(FR_DRAINING);
    assert_int_equal(ask(*state, "GET /startupz", ""), 200);
    assert_int_equal(ask(*state, "GET /readyz", ""), 503);
    assert_string_equal(body(), "draining\n");
}

static void live_until_a_loop_is_stuck_and_then_it_is_named(void **state)
{
    assert_int_equal(ask(*state, "GET /livez", ""), 200);
    assert_string_equal(body(), "live\n");
    stuck_loop = "engine";
    assert_int_equal(ask(*state, "GET /livez", ""), 503);
    assert_string_equal(body(), "stuck: engine has not moved for 30 seconds\n");
    stuck_loop = NULL;
    assert_int_equal(ask(*state, "GET /livez", ""), 200);
}

static void metrics_come_as_plain_text_unless_open_metrics_is_preferred(void **state)
{
    static const struct {
        const char *accept;
        bool open;
    } cases[] = {
        {"", false},
        {"Accept: */*\r\n", false},
        {"Accept: text/plain\r\n", false},
        {"Accept: application/openmetrics-text\r\n", true},
        /* Prometheus 2.42 */
        {"Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
         true},
        {"Accept: application/openmetrics-text;q=0.3, text/plain;q=0.9\r\n", false},
        {"Accept: application/openmetrics-text;q=0\r\n", false},
        {"Accept: application/openmetrics-textual\r\n", false},
        {"Accept: application/open\r\n", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *end;

        assert_int_equal(ask(*state, "GET /metrics", cases[i].accept), 200);
        end = body() + strlen(body()) - 6;
        assert_int_equal(strcmp(end, "# EOF\n") == 0, cases[i].open);
        assert_non_null(strstr(
            answer, cases[i].open ? "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
                                  : "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    }
}

static void metrics_are_those_of_the_moment(void **state)
{
    fr_gauge(FR_SERIES(FR_M_OUTBOX_PENDING), 7);
    assert_int_equal(ask(*state, "GET /metrics", ""), 200);
    assert_non_null(strstr(body(), "\nfreshet_outbox_pending 7\n"));
    fr_gauge(FR_SERIES(FR_M_OUTBOX_PENDING), 3);
    assert_int_equal(ask(*state, "GET /metrics", ""), 200);
    assert_non_null(strstr(body(), "\nfreshet_outbox_pending 3\n"));
}

static void an_unknown_path_is_not_found(void **state)
{
    assert_int_equal(ask(*state, "GET /metricsz", ""), 404);
    assert_int_equal(ask(*state, "GET /page/", ""), 404);
    assert_int_equal(ask(*state, "GET /page/page.cs", ""), 404);
    assert_int_equal(ask(*state, "GET /api/", ""), 404);
    assert_int_equal(ask(*state, "POST /nowhere", "Content-Length: 0\r\n"), 404);
    assert_non_null(strstr(body(), "/livez"));
    assert_non_null(strstr(body(), "/api/status.json"));
}

static void a_query_does_not_hide_the_page(void **state)
{
    assert_int_equal(ask(*state, "GET /livez?verbose", ""), 200);
}

static void only_get_and_head_are_answered(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char line[60];

        snprintf(line, sizeof line, "%s /livez", methods[i]);
        assert_int_equal(ask(*state, line, "Content-Length: 0\r\n"), 405);
        assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
    }
    assert_int_equal(ask(*state, "POST /", "Content-Length: 0\r\n"), 405);
    assert_int_equal(ask(*state, "PUT /api/status.json", "Content-Length: 0\r\n"), 405);
    assert_int_equal(ask(*state, "HEAD /", ""), 200);
    assert_string_equal(body(), "");
    assert_int_equal(ask(*state, "HEAD /livez", ""), 200);
    assert_non_null(strstr(answer, "\r\nContent-Length: 5\r\n"));
    assert_string_equal(body(), "");
}

static bool has_header(const char *line)
{
    char whole[300];
    const char *at;

    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    at = strstr(answer, whole);
    return at && at < strstr(answer, "\r\n\r\n");
}

static void the_page_and_its_files_come_as_what_they_are_and_may_load_nothing_from_elsewhere(void **state)
{
    static const char *const files[][3] = {
        {"GET /", "Content-Type: text/html; charset=utf-8", "<!doctype html>"},
        {"GET /page/page.js", "Content-Type: text/javascript; charset=utf-8", "//"},
        {"GET /page/page.css", "Content-Type: text/css; charset=utf-8", "/*"},
        {"GET /page/icon.svg", "Content-Type: image/svg+xml", "<svg"},
        {"GET /api/status.json", "Content-Type: application/json", "{"},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(ask(*state, files[i][0], ""), 200);
        assert_true(has_header(files[i][1]));
        assert_int_equal(strncmp(body(), files[i][2], strlen(files[i][2])), 0);
        assert_true(has_header("Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
        assert_true(has_header("X-Content-Type-Options: nosniff"));
        assert_true(has_header("Cache-Control: no-store"));
        assert_true(has_header("Cross-Origin-Resource-Policy: same-origin"));
    }
}

static int ask_as(const struct admin *admin, const char *line, const char *host)
{
    char request[1000];
    int len = snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", line, host);

    exchange(connect_to(AF_INET, admin_port(admin)), request, (size_t)len);
    return atoi(answer + 9);
}

static void on_loopback_no_other_name_gets_at_the_page_or_its_data(void **state)
{
    static const char *const guarded[] = {"GET /", "GET /page/page.js", "GET /api/status.json", "GET /api/history.json", "GET /api/top.json",
                                          "GET /api/explore?user=ann"};

    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
        assert_int_equal(ask_as(*state, guarded[i], "evil.example:9464"), 421);
        assert_null(strstr(body(), "{"));
        assert_int_not_equal(ask_as(*state, guarded[i], "127.0.0.1:9464"), 421);
    }
    assert_int_equal(ask_as(*state, "GET /metrics", "scraped.example"), 200); /* no ids there; scrapers may call us as they like */
    assert_int_equal(ask_as(*state, "GET /livez", "scraped.example"), 200);
}

static void listening_wider_any_name_will_do(void **state)
{
    struct admin *wide;
    struct fr_err err;

    (void)state;
    assert_int_equal(start_on(&wide, "0.0.0.0:0", &err), FR_OK);
    assert_int_equal(ask_as(wide, "GET /api/status.json", "recommender.example"), 200);
    admin_stop(wide);
}

static void bad_questions_are_told_so(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *text;
    } cases[] = {
        {"GET /api/history.json?span=year", 400, "{\"error\":\"span is neither hour nor day\"}"},
        {"GET /api/history.json?span=day&since=99999999999999999999", 200, "{\"step_ms\":300000,"},
        {"GET /api/explore", 400, "{\"error\":\"exactly one of user and item is needed\"}"},
        {"GET /api/explore?user=a&item=b", 400, "{\"error\":\"exactly one of user and item is needed\"}"},
        {"GET /api/explore?user=", 400, "{\"error\":\"user is empty;"},
        {"GET /api/explore?user", 400, "{\"error\":\"user is empty;"},
        {"GET /api/explore?user=a%00b", 400, "{\"error\":\"user contains a NUL byte;"},
        {"GET /api/explore?item=%ff", 400, "{\"error\":\"item is not valid UTF-8;"},
        {"GET /api/explore?user=a&k=0", 400, "{\"error\":\"k is not a number from 1 to 50\"}"},
        {"GET /api/explore?user=a&k=51", 400, "{\"error\":\"k is not"},
        {"GET /api/explore?user=a&k=4294967297", 400, "{\"error\":\"k is not"},
        {"GET /api/explore?user=a&k=-1", 400, "{\"error\":\"k is not"},
        {"GET /api/explore?user=a", 503, "{\"error\":\"the state is being loaded\"}"},
        {"GET /api/top.json", 503, "{\"error\":\"the state is being loaded\"}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ask(*state, cases[i].line, ""), cases[i].status);
        assert_int_equal(strncmp(body(), cases[i].text, strlen(cases[i].text)), 0);
    }
}

static void a_body_nobody_wants_is_read_and_dropped(void **state)
{
    enum { BODY = 300000 };
    static char request[BODY + 200];
    int head = snprintf(request, 200,
                        "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", BODY);

    memset(request + head, 'x', BODY);
    exchange(connect_to(AF_INET, admin_port(*state)), request, (size_t)head + BODY);
    assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
}

static void nonsense_and_endless_headers_end_the_connection_only(void **state)
{
    static char huge[200000];
    int fd = connect_to(AF_INET, admin_port(*state));

    assert_int_equal(send(fd, "\0\1\2\r\n\r\n", 7, MSG_NOSIGNAL), 7);
    close(fd); /* without an answer: the server may wait for more of it */
    memset(huge, 'h', sizeof huge);
    memcpy(huge, "GET /livez HTTP/1.1\r\nX-Long: ", 29);
    exchange(connect_to(AF_INET, admin_port(*state)), huge, sizeof huge);
    assert_int_not_equal(strncmp(answer, "HTTP/1.1 200", 12), 0);
    assert_int_equal(ask(*state, "GET /livez", ""), 200);
}

/* Fills the places of one address with connections that say nothing; whoever comes from another is answered. */
static void one_address_cannot_take_all_connections(void **state)
{
    enum { SILENT = 80 }; /* more than there are places */
    static const char request[] = "GET /livez HTTP/1.0\r\n\r\n";
    struct sockaddr_in other = {.sin_family = AF_INET}, there = {.sin_family = AF_INET};
    int silent[SILENT], closed = 0, fd = socket(AF_INET, SOCK_STREAM, 0);

    for (int i = 0; i < SILENT; i++)
        silent[i] = connect_to(AF_INET, admin_port(*state));
    inet_pton(AF_INET, "127.0.0.2", &other.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&other, sizeof other), 0);
    there.sin_port = htons((uint16_t)admin_port(*state));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    exchange(fd, request, sizeof request - 1);
    assert_string_equal(body(), "live\n");
    for (int i = 0; i < SILENT; i++) {
        char byte;
        closed += recv(silent[i], &byte, 1, MSG_DONTWAIT) == 0; /* -1: still open */
        close(silent[i]);
    }
    assert_int_equal(closed, SILENT - 32);
}

static void one_connection_can_ask_again(void **state)
{
    static const char twice[] =
        "GET /livez HTTP/1.1\r\nHost: h\r\n\r\nGET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const char *first, *second;

    exchange(connect_to(AF_INET, admin_port(*state)), twice, sizeof twice - 1);
    first = strstr(answer, "\r\n\r\nlive\n");
    assert_non_null(first);
    second = strstr(first + 4, "\r\n\r\nlive\n");
    assert_non_null(second);
}

static void an_address_in_use_is_named(void **state)
{
    struct admin *second = NULL;
    struct fr_err err = {0};
    char address[64], expected[200];

    snprintf(address, sizeof address, "127.0.0.1:%d", admin_port(*state));
    assert_int_equal(start_on(&second, address, &err), FR_IO);
    snprintf(expected, sizeof expected, "cannot listen on '%s': Address already in use", address);
    assert_string_equal(err.text, expected);
    assert_null(second);
}

static void an_address_that_is_none_is_named(void **state)
{
    static const char *const bad[] = {"", "9464", ":9464", "localhost:", "[]:1"};
    struct admin *admin = NULL;
    struct fr_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(start_on(&admin, bad[i], &err), FR_INVALID);
        assert_non_null(strstr(err.text, "is not host:port"));
    }
    assert_int_equal(start_on(&admin, "no.such.host.invalid:0", &err), FR_IO);
    assert_non_null(strstr(err.text, "cannot listen on 'no.such.host.invalid:0': "));
    assert_null(admin);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    static const char request[] = "GET /livez HTTP/1.0\r\n\r\n";
    struct admin *admin;
    struct fr_err err;

    (void)state;
    if (!has_ipv6())
        skip();
    assert_int_equal(start_on(&admin, "[::1]:0", &err), FR_OK);
    exchange(connect_to(AF_INET6, admin_port(admin)), request, sizeof request - 1);
    assert_string_equal(body(), "live\n");
    admin_stop(admin);
}

/* ---- with tokens ------------------------------------------------------------------------------------------------ */

/* "look read SHA-256 of alpha" */
#define TOKENS "look read 8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n"

static void with_tokens_all_but_the_probes_wants_one(void **state)
{
    static const char *const page[] = {"GET /", "GET /page/page.js", "GET /api/status.json", "GET /api/explore?user=ann"};
    char path[] = "/tmp/freshet-http-XXXXXX";
    int fd = mkstemp(path);
    struct tokens *tokens;
    struct admin *admin;
    struct fr_err err;

    (void)state;
    stuck_loop = NULL;
    fr_state_set(FR_RUNNING);
    assert_int_equal(write(fd, TOKENS, strlen(TOKENS)), strlen(TOKENS));
    close(fd);
    assert_int_equal(tokens_open(&tokens, path, &err), FR_OK);
    unlink(path);
    const struct admin_options options = {.listen = "127.0.0.1:0", .history_step = 10000, .tokens = tokens};
    assert_int_equal(admin_start(&admin, &options, &err), FR_OK);
    assert_int_equal(ask(admin, "GET /metrics", ""), 401);
    assert_non_null(strstr(answer, "WWW-Authenticate: Bearer realm=\"freshet\"\r\n"));
    assert_non_null(strstr(answer, "WWW-Authenticate: Basic realm="));
    assert_int_equal(ask(admin, "GET /metrics", "Authorization: Bearer beta\r\n"), 401);
    assert_int_equal(ask(admin, "GET /metrics", "Authorization: Bearer alpha\r\n"), 200);
    assert_int_equal(ask(admin, "GET /metrics", "Authorization: Basic YW55Ym9keTphbHBoYQ==\r\n"), 200); /* anybody:alpha */
    assert_int_equal(ask(admin, "GET /metrics", "Authorization: Basic YWxwaGE6YmV0YQ==\r\n"), 401);     /* alpha:beta */
    assert_int_equal(ask(admin, "GET /metrics", "Authorization: Basic ====\r\n"), 401);
    assert_int_equal(ask(admin, "GET /nowhere", ""), 401); /* what there is, strangers are not told */
    for (size_t i = 0; i < sizeof page / sizeof *page; i++) {
        assert_int_equal(ask(admin, page[i], ""), 401);
        assert_null(strstr(body(), "{"));
    }
    assert_int_equal(ask(admin, "GET /", "Authorization: Basic YW55Ym9keTphbHBoYQ==\r\n"), 200);
    assert_int_equal(ask(admin, "GET /livez", ""), 200);
    assert_int_equal(ask(admin, "GET /startupz", ""), 200);
    admin_stop(admin);
    tokens_free(tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(started_and_ready_follow_the_state, start, stop),
        cmocka_unit_test_setup_teardown(live_until_a_loop_is_stuck_and_then_it_is_named, start, stop),
        cmocka_unit_test_setup_teardown(metrics_come_as_plain_text_unless_open_metrics_is_preferred, start, stop),
        cmocka_unit_test_setup_teardown(metrics_are_those_of_the_moment, start, stop),
        cmocka_unit_test_setup_teardown(an_unknown_path_is_not_found, start, stop),
        cmocka_unit_test_setup_teardown(a_query_does_not_hide_the_page, start, stop),
        cmocka_unit_test_setup_teardown(only_get_and_head_are_answered, start, stop),
        cmocka_unit_test_setup_teardown(the_page_and_its_files_come_as_what_they_are_and_may_load_nothing_from_elsewhere, start, stop),
        cmocka_unit_test_setup_teardown(on_loopback_no_other_name_gets_at_the_page_or_its_data, start, stop),
        cmocka_unit_test(listening_wider_any_name_will_do),
        cmocka_unit_test_setup_teardown(bad_questions_are_told_so, start, stop),
        cmocka_unit_test_setup_teardown(a_body_nobody_wants_is_read_and_dropped, start, stop),
        cmocka_unit_test_setup_teardown(nonsense_and_endless_headers_end_the_connection_only, start, stop),
        cmocka_unit_test_setup_teardown(one_address_cannot_take_all_connections, start, stop),
        cmocka_unit_test_setup_teardown(one_connection_can_ask_again, start, stop),
        cmocka_unit_test_setup_teardown(an_address_in_use_is_named, start, stop),
        cmocka_unit_test(an_address_that_is_none_is_named),
        cmocka_unit_test(with_tokens_all_but_the_probes_wants_one),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
