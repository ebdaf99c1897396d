/*
 * detour.h -- the feed's consumers connect where the test says, whatever address Kafka gives them: straight to the brokers of another cluster,
 * or through a proxy that damages what it carries.
 *
 *     consumer ── connect ──> detour_port ──> a mock cluster's broker (it has one)
 *                                    '──────> [proxy: CORRUPTME -> CORRUPTMX] ──> a mock cluster's broker
 *
 * This program's rd_kafka_new stands before librdkafka's, and gives consumers a way of their own to connect. Its rd_kafka_assign counts.
 */
#ifndef FR_TEST_DETOUR_H
#define FR_TEST_DETOUR_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world.h"

#define MARK "CORRUPTME"

static _Atomic int detour_port;
static _Atomic(rd_kafka_t *) detour_consumer; /* the one made last */

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int detour_connect(int fd, const struct sockaddr *to, int to_len, const char *id, void *opaque)
{
    const struct sockaddr_in address = loopback(atomic_load(&detour_port));

    (void)to, (void)to_len, (void)id, (void)opaque;
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS ? errno : 0;
}

rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t text_len)
{
    static rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    rd_kafka_t *kafka;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    if (type == RD_KAFKA_CONSUMER && atomic_load(&detour_port))
        rd_kafka_conf_set_connect_cb(conf, detour_connect);
    kafka = real(type, conf, text, text_len);
    if (type == RD_KAFKA_CONSUMER)
        atomic_store(&detour_consumer, kafka);
    return kafka;
}

static _Atomic int detour_assigns; /* how often all was assigned */

rd_kafka_resp_err_t rd_kafka_assign(rd_kafka_t *kafka, const rd_kafka_topic_partition_list_t *list)
{
    static rd_kafka_resp_err_t (*real)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_assign");
    atomic_fetch_add(&detour_assigns, list != NULL);
    return real(kafka, list);
}

static inline int port_of(const struct world *world)
{
    return atoi(strrchr(world->address, ':') + 1);
}

/* ---- the proxy ---------------------------------------------------------------------------------------------------- */

enum { PROXY_WAYS = 64, PROXY_BYTES = 1 << 16 };

/* One direction of a connection. */
struct way {
    int from, to;
    bool back;      /* what the broker answers */
    size_t matched; /* bytes of MARK, so far */
};

struct proxy {
    int listener, wake[2], target;
    pthread_t thread;
    _Atomic int damages; /* how many marks it still damages; -1: all there are */
    struct way ways[PROXY_WAYS];
    size_t len;
};

static inline void proxy_damage(struct proxy *proxy, struct way *way, char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        way->matched = bytes[i] == MARK[way->matched] ? way->matched + 1 : bytes[i] == *MARK;
        if (MARK[way->matched])
            continue;
        way->matched = 0;
        if (!atomic_load(&proxy->damages))
            continue;
        bytes[i] = 'X';
        if (atomic_load(&proxy->damages) > 0)
            atomic_fetch_sub(&proxy->damages, 1);
    }
}

static inline void proxy_accept(struct proxy *proxy)
{
    const struct sockaddr_in address = loopback(proxy->target);
    int in = accept(proxy->listener, NULL, NULL), out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(in >= 0 && out >= 0 && proxy->len + 2 <= PROXY_WAYS);
    if (connect(out, (const struct sockaddr *)&address, sizeof(address))) {
        close(in);
        close(out);
        return;
    }
    proxy->ways[proxy->len++] = (struct way){.from = in, .to = out};
    proxy->ways[proxy->len++] = (struct way){.from = out, .to = in, .back = true};
}

/* The connection of ways[at] and of its other direction. */
static inline void proxy_close(struct proxy *proxy, size_t at)
{
    at -= at % 2;
    close(proxy->ways[at].from);
    close(proxy->ways[at].to);
    proxy->len -= 2;
    memcpy(&proxy->ways[at], &proxy->ways[proxy->len], 2 * sizeof(struct way));
}

static inline bool proxy_carry(struct proxy *proxy, struct way *way)
{
    char bytes[PROXY_BYTES];
    ssize_t len = recv(way->from, bytes, sizeof(bytes), 0);

    if (len <= 0)
        return false;
    if (way->back)
        proxy_damage(proxy, way, bytes, (size_t)len);
    for (ssize_t sent = 0, more; sent < len; sent += more)
        if ((more = send(way->to, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

static inline void *proxy_run(void *arg)
{
    struct proxy *proxy = arg;

    for (;;) {
        struct pollfd fds[PROXY_WAYS + 2] = {{.fd = proxy->wake[0], .events = POLLIN}, {.fd = proxy->listener, .events = POLLIN}};
        for (size_t i = 0; i < proxy->len; i++)
            fds[i + 2] = (struct pollfd){.fd = proxy->ways[i].from, .events = POLLIN};
        if (poll(fds, proxy->len + 2, -1) < 0)
            continue;
        if (fds[0].revents)
            return NULL;
        for (size_t i = proxy->len; i-- > 0;) { /* backwards: what takes a closed one's place has been looked at */
            if (!fds[i + 2].revents || proxy_carry(proxy, &proxy->ways[i]))
                continue;
            proxy_close(proxy, i);
            i -= i % 2;
        }
        if (fds[1].revents)
            proxy_accept(proxy);
    }
}

/* Between the consumers made from here on and the world's broker. */
static inline void proxy_start(struct proxy *proxy, const struct world *world, int damages)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);

    *proxy = (struct proxy){.target = port_of(world), .damages = damages};
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(proxy->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(proxy->listener, PROXY_WAYS), 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(pipe2(proxy->wake, O_CLOEXEC), 0);
    atomic_store(&detour_port, ntohs(address.sin_port));
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
}

/* After the feed has stopped. */
static inline void proxy_stop(struct proxy *proxy)
{
    assert_int_equal(write(proxy->wake[1], "x", 1), 1);
    pthread_join(proxy->thread, NULL);
    while (proxy->len)
        proxy_close(proxy, 0);
    close(proxy->listener);
    close(proxy->wake[0]);
    close(proxy->wake[1]);
    atomic_store(&detour_port, 0);
}

#endif
