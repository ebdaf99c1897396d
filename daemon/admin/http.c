/*
 * http.c -- HTTP for operators. Only this file and guard.c know libmicrohttpd.
 *
 *     GET /metrics    every series: Prometheus text 0.0.4, or OpenMetrics 1.0 for who prefers it
 *     GET /livez      200 while every loop of the daemon moves, else 503 and the name of one that does not
 *     GET /readyz     200 while questions are answered: state loaded, not draining
 *     GET /startupz   200 once state is loaded
 *
 * One epoll thread of the library's serves all: an answer is made in memory within milliseconds and sent as the other
 * side reads. Connections, those of one address, idle time and memory per connection are bounded, so that a stray client
 * costs little and a bad one does not keep the others out.
 *
 * Thread: admin_* main's; the rest runs on the library's thread.
 */
#include "freshet/admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freshet/alloc.h"
#include "freshet/codec.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "guard.h"

enum { CONNECTIONS_MAX = 64, CONNECTIONS_FROM_ONE_MAX = 32, IDLE_SECONDS_MAX = 15, CONNECTION_BYTES_MAX = 32 * 1024 };

struct admin {
    struct MHD_Daemon *daemon;
    int port;
    struct tokens_view *tokens; /* the library's thread's; NULL: anybody may look */
};

/* ---- answers --------------------------------------------------------------------------------------------------- */

struct answer {
    unsigned status;
    const char *type;
    struct fr_writer body;
};

static const char plain_text[] = "text/plain; charset=utf-8";

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

static void answer_metrics(struct MHD_Connection *connection, struct answer *answer)
{
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    double open = accept_weight(accept, "application/openmetrics-text");

    if (open > 0 && open >= accept_weight(accept, "text/plain")) {
        answer->type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        fr_metric_write(&answer->body, true);
    } else {
        answer->type = "text/plain; version=0.0.4; charset=utf-8";
        fr_metric_write(&answer->body, false);
    }
}

static void answer_live(struct MHD_Connection *connection, struct answer *answer)
{
    const char *stuck = NULL;

    (void)connection;
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

static void answer_ready(struct MHD_Connection *connection, struct answer *answer)
{
    (void)connection;
    answer_state(answer, fr_state_now() == FR_RUNNING);
}

static void answer_started(struct MHD_Connection *connection, struct answer *answer)
{
    (void)connection;
    answer_state(answer, fr_state_now() != FR_STARTING);
}

static const struct {
    const char *path;
    void (*answer)(struct MHD_Connection *connection, struct answer *answer);
    bool open; /* to who has no token, too: probes have none */
} pages[] = {
    {"/metrics", answer_metrics, false},
    {"/livez", answer_live, true},
    {"/readyz", answer_ready, true},
    {"/startupz", answer_started, true},
};
enum { PAGES = sizeof pages / sizeof *pages };

/* ---- one request ----------------------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    response = MHD_create_response_from_buffer_with_free_callback(answer->body.len, answer->body.at, free);
    if (!response) {
        fr_writer_release(&answer->body);
        return MHD_NO; /* closes the connection */
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
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

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_len, void **seen)
{
    static char marker;
    struct admin *admin = context;
    struct answer answer = {MHD_HTTP_OK, plain_text, {0}};
    size_t page = 0;

    (void)version, (void)body;
    if (!*seen || *body_len) { /* the header alone, or a part of a body that nobody wants */
        *seen = &marker;
        *body_len = 0;
        return MHD_YES;
    }
    fr_writer_init(&answer.body, 0);
    while (page < PAGES && strcmp(pages[page].path, path) != 0)
        page++;
    if (!(page < PAGES && pages[page].open) && !guard_lets(admin->tokens, connection)) {
        answer.status = MHD_HTTP_UNAUTHORIZED;
        fr_put_text(&answer.body, "a token is wanted: Authorization: Bearer ..., or as the password of Basic\n");
    } else if (page == PAGES) {
        answer.status = MHD_HTTP_NOT_FOUND;
        fr_put_text(&answer.body, "not found; there are");
        for (size_t i = 0; i < PAGES; i++)
            fr_put_text(&answer.body, " %s", pages[i].path);
        fr_put_text(&answer.body, "\n");
    } else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        fr_put_text(&answer.body, "only GET and HEAD\n");
    } else {
        pages[page].answer(connection, &answer);
    }
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

/* ---- the listener ---------------------------------------------------------------------------------------------- */

/* "host:port", "[v6]:port". False if it is neither, or does not fit. */
static bool split_address(const char *listen, char *host, size_t host_len, const char **ret_port)
{
    const char *colon = strrchr(listen, ':');
    size_t len;

    if (!colon || colon == listen || !colon[1])
        return false;
    *ret_port = colon + 1;
    len = (size_t)(colon - listen);
    if (listen[0] == '[' && colon[-1] == ']') {
        listen++;
        len -= 2;
    }
    if (len == 0 || len >= host_len)
        return false;
    memcpy(host, listen, len);
    host[len] = 0;
    return true;
}

static int open_listener(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    int on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* connections of a daemon just gone do not hinder */
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

static int listen_on(const char *address, int *ret_fd, struct fr_err *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[256];
    const char *port;
    int fd = -1, error;

    if (!split_address(address, host, sizeof host, &port))
        return fr_fail(err, FR_INVALID, "cannot listen on '%s': it is not host:port", address);
    error = getaddrinfo(host, port, &hints, &found);
    if (error)
        return fr_fail(err, FR_IO, "cannot listen on '%s': %s", address, gai_strerror(error));
    errno = EADDRNOTAVAIL;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = open_listener(at);
    error = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return fr_fail(err, FR_IO, "cannot listen on '%s': %s", address, strerror(error));
    *ret_fd = fd;
    return FR_OK;
}

static int bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char port[8];

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0)
        return -1;
    return atoi(port);
}

int admin_start(struct admin **ret_admin, const char *listen, struct tokens *tokens, struct fr_err *err)
{
    struct admin *admin;
    int fd, status = listen_on(listen, &fd, err);

    if (status != FR_OK)
        return status;
    admin = fr_alloc(sizeof *admin);
    *admin = (struct admin){.port = bound_port(fd), .tokens = tokens_view_new(tokens)};
    admin->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, admin,
        MHD_OPTION_EXTERNAL_LOGGER, complain, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_FROM_ONE_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES_MAX, MHD_OPTION_END);
    if (!admin->daemon) {
        close(fd);
        admin_stop(admin);
        return fr_fail(err, FR_IO, "cannot serve HTTP on '%s': libmicrohttpd refused to start", listen);
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
    tokens_view_free(admin->tokens);
    free(admin);
}

int admin_port(const struct admin *admin)
{
    return admin->port;
}
