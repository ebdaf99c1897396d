/*
 * notify.c -- sd_notify(3) by hand: an address, a socket, a datagram.
 */
#include "notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BEAT_MS = 1000 };

/* "/run/systemd/notify", or "@..." for a name in the abstract namespace. Returns its length; 0 if it is neither. */
static socklen_t address_of(const char *path, struct sockaddr_un *ret_address)
{
    size_t len = strlen(path);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof(ret_address->sun_path))
        return 0;
    memcpy(ret_address->sun_path, path, len);
    if (path[0] == '@')
        ret_address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* How often to beat: several times per watchdog interval, if there is one and it is meant for this process. */
static int beat_of(const char *usec, const char *pid)
{
    long long interval = usec ? strtoll(usec, NULL, 10) : 0;

    if (interval <= 0 || (pid && strtoll(pid, NULL, 10) != getpid()) || interval / 3000 >= BEAT_MS)
        return BEAT_MS;
    return interval < 3000 ? 1 : (int)(interval / 3000);
}

void notify_start(struct notify *notify)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len = path ? address_of(path, &address) : 0;

    *notify = (struct notify){.socket = -1, .beat_ms = -1};
    if (!len)
        return;
    notify->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->socket >= 0 && connect(notify->socket, (struct sockaddr *)&address, len) != 0)
        notify_stop(notify);
    if (notify->socket < 0)
        return;
    /* A full queue is waited for, but not for ever. */
    setsockopt(notify->socket, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 1}, sizeof(struct timeval));
    notify->beat_ms = beat_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
}

void notify_stop(struct notify *notify)
{
    if (notify->socket >= 0)
        close(notify->socket);
    *notify = (struct notify){.socket = -1, .beat_ms = -1};
}

void notify_say(const struct notify *notify, const char *format, ...)
{
    char text[500];
    va_list values;
    int len;

    if (notify->socket < 0)
        return;
    va_start(values, format);
    len = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (len > 0 && (size_t)len < sizeof(text))
        (void)!send(notify->socket, text, (size_t)len, MSG_NOSIGNAL);
}

void notify_beat(const struct notify *notify, const char *status, const char *stuck)
{
    if (stuck)
        notify_say(notify, "STATUS=stuck: %s does not move", stuck);
    else
        notify_say(notify, "WATCHDOG=1\nSTATUS=%s", status);
}
