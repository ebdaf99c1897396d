/*
 * security.h -- the daemon's certificates and tokens: from files at the start, and again when those change or on SIGHUP.
 *
 *     security_open ──> certificate[2], tokens ── borrowed ──> serve, admin
 *     security_look     each second: a file is not what it was, and has not been touched for a second: all are read again
 *     security_read     SIGHUP: now
 *
 * A file that cannot be used leaves in force what was, and is named in the log. Thread: main.
 */
#ifndef SECURITY_H
#define SECURITY_H

#include <stdbool.h>

#include "config.h"

enum { SECURITY_FILES = 7, SECURITY_LOOK_MS = 1000 };

struct security {
    struct certificate *serve, *admin; /* NULL: plain; the same one when they have the same files */
    struct tokens *tokens;             /* NULL: none are wanted */
    const char *watched[SECURITY_FILES]; /* borrowed from the configuration */
    size_t watched_len;
    uint64_t seen, read; /* what the files looked like at the last look, and when they were last read */
    uint64_t looked_ns;
};

/* What is wrong becomes a problem of the configuration. */
void security_open(struct security *security, struct config *cfg);
void security_close(struct security *security);
/* Says which listeners are open to more than this machine, and in what respect. */
void security_warn(const struct security *security, const struct config *cfg);

int security_look_ms(const struct security *security); /* how often it wants to look; -1: never */
void security_look(struct security *security);
void security_read(struct security *security);

#endif
