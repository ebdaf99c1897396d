/*
 * http.c -- HTTP for operators. Only this file and guard.c know libmicrohttpd.
 *
 *     GET /metrics    every series: Prometheus text 0.0.4, or OpenMetrics 1.0 for who prefers it
 *     GET /livez      200 while every loop of the daemon moves, else 503 and the name of one that does not
 *     GET /readyz     200 while questions are answered: state loaded, not draining
 *     GET /startupz   200 once state is loaded
 *     GET /           how all is, as a page (page/); what it shows comes from /api/... (page.h)
 *
 * One epoll thread of the library's serves all: an answer is made in memory within milliseconds and sent as the other
 * side reads. Connections, those of one address, idle time and memory per connection are bounded, so that a stray client
 * costs little and a bad one does not keep the others out.
 *
 * The page runs in a browser, beside pages of anybody's. It loads nothing from elsewhere and may not be framed; what has ids in it is
 * for this origin alone, and on loopback only under a local name (listener.h).
 *
 * Thread: admin_* main's; the rest runs on the library's thread.
 */
#include "freshet/admin.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "assets.h"
#include "freshet/alloc.h"
#include "freshet/codec.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "guard.h"
#include "listener.h"
#include "page.h"

enum { CONNECTIONS_MAX = 64, CONNECTIONS_FROM_ONE_MAX = 32, IDLE_SECONDS_MAX = 15, CONNECTION_BYTES_MAX = 32 * 1024 };

struct admin {
    struct MHD_Daemon *daemon;
    int port;
    bool local; /* listens on loopback */
    struct tokens_view *tokens; /* the library's thread's; NULL: anybody may look */
    struct page *page;
};

/* ---- answers --------------------------------------------------------------------------------------------------- */

struct answer {
    unsigned status;
    const char *type;
    struct fr_writer body;
    const struct asset *asset; /* in place of the body */
};

static const char plain_text[] = "text/plain; charset=utf-8", json_type[] = "application/json";

/* The weight an Accept header gives to a media type (RFC 9110 12.5.1), without its wildcards: 0 if it does not name it.
 */
static double accept_weight(const char *accept, const char *type)
{
    double best = 0;

    while (accept && *accept) {
        const char *at = accept + strspn(accept, " \t,");
        size_t len = strcspn(at, ","), name_len = strcspn(at, ",; \t");

        if (name_len == strlen(type) && strncasecmp(at, type, name_len) == 0) {
            char range[200];
            const char *q;
            double weight = 1;

            snprintf(range, sizeof range, "%.*s", (int)len, at);
            q = strstr(range, "q=");
            if (q && (q[-1] == ';' || q[-1] == ' '))
                weight = strtod(q + 2, NULL);
            best = weight > best ? weight : best;
        }
        accept = at + len;
    }
    return best;
}

static void answer_metrics(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    double open = accept_weight(accept, "application/openmetrics-text");

    (void)admin;
    if (open > 0 && open >= accept_weight(accept, "text/plain")) {
        answer->type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        fr_metric_write(&answer->body, true);
    } else {
        answer->type = "text/plain; version=0.0.4; charset=utf-8";
        fr_metric_write(&answer->body, false);
    }
}

static void answer_live(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    const char *stuck = NULL;

    (void)admin, (void)connection;
    if (fr_pulse_all(&stuck)) {
        fr_put_text(&answer->body, "live\n");
    } else {
        answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        fr_put_text(&answer->body, "stuck: %s has not moved for %d seconds\n", stuck, FR_PULSE_LIMIT_MS / 1000);
    }
}

static void answer_state(struct answer *answer, bool good)
{
    if (!good)
        answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    fr_put_text(&answer->body, "%s\n", fr_state_name(fr_state_now()));
}

static void answer_ready(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    (void)admin, (void)connection;
    answer_state(answer, fr_state_now() == FR_RUNNING);
}

static void answer_started(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    (void)admin, (void)connection;
    answer_state(answer, fr_state_now() != FR_STARTING);
}

/* ---- what the page asks ---------------------------------------------------------------------------------------- */

/* A parameter of the question, decoded; NULL bytes if it is not there. */
static struct fr_bytes parameter(struct MHD_Connection *connection, const char *name)
{
    struct fr_bytes value = {0};

    if (MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value.at, &value.len) != MHD_YES)
        return (struct fr_bytes){0};
    return value.at ? value : FR_BYTES("");
}

static void answer_status(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    (void)connection;
    answer->type = json_type;
    page_status(admin->page, &answer->body);
}

/* ?span=hour|day&since=MS */
static void answer_history(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    struct fr_bytes span = parameter(connection, "span"), since = parameter(connection, "since");
    bool day = fr_bytes_equal(span, FR_BYTES("day"));
    when_ms after = 0;

    answer->type = json_type;
    if (span.at && !day && !fr_bytes_equal(span, FR_BYTES("hour"))) {
        answer->status = MHD_HTTP_BAD_REQUEST;
        fr_put_text(&answer->body, "{\"error\":\"span is neither hour nor day\"}");
        return;
    }
    for (size_t i = 0; i < since.len && i < 15 && since.at[i] >= '0' && since.at[i] <= '9'; i++)
        after = after * 10 + (since.at[i] - '0');
    page_history(admin->page, day ? HISTORY_DAY : HISTORY_HOUR, after, &answer->body);
}

static void answer_question(struct admin *admin, struct MHD_Connection *connection, struct answer *answer,
                            enum page_result (*ask)(struct page *page, const struct page_question *question, struct fr_writer *out))
{
    static const unsigned statuses[] = {MHD_HTTP_OK, MHD_HTTP_BAD_REQUEST, MHD_HTTP_SERVICE_UNAVAILABLE};
    struct page_question question = {parameter(connection, "user"), parameter(connection, "item"), parameter(connection, "model"),
                                     parameter(connection, "k")};

    answer->type = json_type;
    answer->status = statuses[ask(admin->page, &question, &answer->body)];
}

static void answer_top(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    answer_question(admin, connection, answer, page_top);
}

static void answer_explore(struct admin *admin, struct MHD_Connection *connection, struct answer *answer)
{
    answer_question(admin, connection, answer, page_explore);
}

static const struct {
    const char *path;
    void (*answer)(struct admin *admin, struct MHD_Connection *connection, struct answer *answer);
    bool open; /* to who has no token, too: probes have none */
    bool ours; /* not for pages of others */
} pages[] = {
    {"/metrics", answer_metrics, false, false},
    {"/livez", answer_live, true, false},
    {"/readyz", answer_ready, true, false},
    {"/startupz", answer_started, true, false},
    {"/api/status.json", answer_status, false, true},
    {"/api/history.json", answer_history, false, true},
    {"/api/top.json", answer_top, false, true},
    {"/api/explore", answer_explore, false, true},
};
enum { PAGES = sizeof pages / sizeof *pages };

static const struct asset *find_asset(const char *path)
{
    for (size_t i = 0; i < assets_len; i++)
        if (strcmp(assets[i].path, path) == 0)
            return &assets[i];
    return NULL;
}

/* ---- one request ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *value;
} headers[] = {
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
};

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    if (answer->asset)
        response = MHD_create_response_from_buffer(answer->asset->len, (void *)(uintptr_t)answer->asset->bytes, MHD_RESPMEM_PERSISTENT);
    else
        response = MHD_create_response_from_buffer_with_free_callback(answer->body.len, answer->body.at, free);
    if (!response) {
        fr_writer_release(&answer->body);
        return MHD_NO; /* closes the connection */
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i].name, headers[i].value);
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (answer->status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"freshet\"");
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"freshet, token as password\"");
    }
    result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* HTTP/1.0 has no Host; every browser says it. */
static bool may_ask(const struct admin *admin, struct MHD_Connection *connection)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    return !admin->local || !host || host_is_local(host);
}

static void answer_request(struct admin *admin, struct MHD_Connection *connection, const char *path, const char *method,
                           struct answer *answer)
{
    size_t page = 0;

    while (page < PAGES && strcmp(pages[page].path, path) != 0)
        page++;
    answer->asset = page == PAGES ? find_asset(path) : NULL;
    if (!(page < PAGES && pages[page].open) && !guard_lets(admin->tokens, connection)) {
        answer->asset = NULL;
        answer->status = MHD_HTTP_UNAUTHORIZED;
        fr_put_text(&answer->body, "a token is wanted: Authorization: Bearer ..., or as the password of Basic\n");
    } else if (page == PAGES && !answer->asset) {
        answer->status = MHD_HTTP_NOT_FOUND;
        fr_put_text(&answer->body, "not found; there are /");
        for (size_t i = 0; i < PAGES; i++)
            fr_put_text(&answer->body, " %s", pages[i].path);
        fr_put_text(&answer->body, "\n");
    } else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer->asset = NULL;
        answer->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        fr_put_text(&answer->body, "only GET and HEAD\n");
    } else if ((answer->asset || pages[page].ours) && !may_ask(admin, connection)) {
        answer->asset = NULL;
        answer->status = MHD_HTTP_MISDIRECTED_REQUEST;
        fr_put_text(&answer->body, "this listens on loopback and answers only to localhost, 127.0.0.1 and [::1]\n");
    } else if (answer->asset) {
        answer->type = answer->asset->type;
    } else {
        pages[page].answer(admin, connection, answer);
    }
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_len, void **seen)
{
    static char marker;
    struct answer answer = {.status = MHD_HTTP_OK, .type = plain_text};

    (void)version, (void)body;
    if (!*seen || *body_len) { /* the header alone, or a part of a body that nobody wants */
        *seen = &marker;
        *body_len = 0;
        return MHD_YES;
    }
    fr_writer_init(&answer.body, 0);
    answer_request(context, connection, path, method, &answer);
    return send_answer(connection, &answer);
}

/* What the library complains of is what clients do to it. */
__attribute__((format(printf, 2, 0))) static void complain(void *context, const char *format, va_list values)
{
    char text[300];

    (void)context;
    vsnprintf(text, sizeof text, format, values);
    text[strcspn(text, "\r\n")] = 0;
    fr_log(FR_DEBUG, "admin", "http.library", FR_NO_FIELDS, "%s", text);
}

/* ---- its life ------------------------------------------------------------------------------------------------------ */

int admin_start(struct admin **ret_admin, const struct admin_options *options, struct fr_err *err)
{
    struct admin *admin;
    int fd, status = listener_open(options->listen, &fd, err);

    if (status != FR_OK)
        return status;
    admin = fr_zalloc(1, sizeof *admin);
    admin->port = listener_port(fd);
    admin->local = listener_is_local(fd);
    admin->tokens = tokens_view_new(options->tokens);
    admin->page = page_new(options->history_step);
    admin->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle,
                                     admin, MHD_OPTION_EXTERNAL_LOGGER, complain, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                                     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                                     MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_FROM_ONE_MAX,
                                     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS_MAX,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX, MHD_OPTION_END);
    if (!admin->daemon) {
        close(fd);
        admin_stop(admin);
        return fr_fail(err, FR_IO, "cannot serve HTTP on '%s': libmicrohttpd refused to start", options->listen);
    }
    *ret_admin = admin;
    return FR_OK;
}

void admin_stop(struct admin *admin)
{
    if (!admin)
        return;
    if (admin->daemon)
        MHD_stop_daemon(admin->daemon); /* closes the listener and every connection, ends the thread */
    page_free(admin->page);
    tokens_view_free(admin->tokens);
    free(admin);
}

void admin_attach(struct admin *admin, struct engine *engine, const struct admin_about *about)
{
    page_attach(admin->page, engine, about);
}

void admin_detach(struct admin *admin)
{
    page_detach(admin->page);
}

int admin_port(const struct admin *admin)
{
    return admin->port;
}
