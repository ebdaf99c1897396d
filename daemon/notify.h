/*
 * notify.h -- what systemd wants to hear of a Type=notify service: sd_notify(3)'s protocol, one datagram per message.
 *
 *     READY=1      questions are answered          WATCHDOG=1   every loop moves
 *     RELOADING=1  the configuration is read       STATUS=...   a line for `systemctl status`
 *     STOPPING=1   draining
 *
 * Without $NOTIFY_SOCKET nobody wants to hear anything, and every call does nothing. A message that cannot be sent is
 * lost: whoever listens counts on the next one. Thread: main's.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

struct notify {
    int socket;  /* connected; -1: nobody listens */
    int beat_ms; /* how often notify_beat is wanted; -1: never */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment. */
void notify_start(struct notify *notify);
void notify_stop(struct notify *notify);
__attribute__((format(printf, 2, 3))) void notify_say(const struct notify *notify, const char *format, ...);
/* The watchdog is told that all is well only while it is: `stuck` names a loop that does not move, NULL if all do. */
void notify_beat(const struct notify *notify, const char *status, const char *stuck);

#endif
