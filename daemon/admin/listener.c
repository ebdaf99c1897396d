/*
 * listener.c -- an address as it is configured, the socket that listens on it, and the names under which it may be asked (listener.h).
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAITING_MAX = 64 };

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
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, WAITING_MAX) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

int listener_open(const char *address, int *ret_fd, struct fr_err *err)
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

int listener_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char port[8];

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0)
        return -1;
    return atoi(port);
}

bool listener_is_local(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return false;
    if (address.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address)->sin6_addr);
}

/* What is before ":port", and of an address in brackets what is between them. False if it does not fit or is no such thing. */
static bool name_in(const char *host, char *name, size_t name_len)
{
    size_t len = strcspn(host, host[0] == '[' ? "]" : ":");

    if (host[0] == '[') {
        if (host[len] != ']' || (host[len + 1] && host[len + 1] != ':'))
            return false;
        host++;
        len--;
    }
    if (len == 0 || len >= name_len)
        return false;
    memcpy(name, host, len);
    name[len] = 0;
    return true;
}

bool host_is_local(const char *host)
{
    static const char local[] = ".localhost";
    struct in_addr v4;
    struct in6_addr v6;
    char name[256];
    size_t len;

    if (!name_in(host, name, sizeof name))
        return false;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    len = strlen(name);
    return strcasecmp(name, local + 1) == 0 || (len >= sizeof local && strcasecmp(name + len - (sizeof local - 1), local) == 0);
}
