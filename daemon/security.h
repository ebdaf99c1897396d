/*
 * security.h -- the daemon's certificates and tokens: from files at the start, and again when those change or on SIGHUP.
 *
 *     security_open ──> certificate[2], tokens ── borrowed ──> serve, admin
 *     security_look     each second: a file is not what it was, and has not been touched for a second: all are read again
 *                       or one could not be read for a reason that passes (no file descriptor free, a disk that fails): once a minute
 *     security_read     SIGHUP or Admin.ReloadConfig: now
 *
 * A file that cannot be used leaves in force what was, and is named in the log. Thread: main, but where it says otherwise.
 */
#ifndef SECURITY_H
#define SECURITY_H

#include <pthread.h>
#include <stdbool.h>

#include "config.h"

enum { SECURITY_FILES = 7, SECURITY_LOOK_MS = 1000, SECURITY_AGAIN_MS = 60000 };

struct security {
    struct certificate *serve, *admin; /* NULL: plain; the same one when they have the same files */
    struct tokens *tokens;             /* NULL: none are wanted */
    const char *watched[SECURITY_FILES]; /* borrowed from the configuration */
    size_t watched_len;
    pthread_mutex_t lock; /* what follows, and reading the files; held while they are read */
    uint64_t seen, read; /* what the files looked like at the last look, and when they were last read */
    uint64_t looked_ns;
    uint64_t again_ns; /* when they are read again though they look the same; 0: they are not */
};

/* What is wrong becomes a problem of the configuration. */
void security_open(struct security *security, struct config *cfg);
void security_close(struct security *security);
/* Says which listeners are open to more than this machine, and in what respect. */
void security_warn(const struct security *security, const struct config *cfg);

int security_look_ms(const struct security *security); /* how often it wants to look; -1: never */
void security_look(struct security *security);
/* FR_CONFIG: one of them cannot be used, which err (NULL is fine) names. Thread: any. */
int security_read(struct security *security, struct fr_err *err);

#endif
