/*
 * err.h -- what went wrong, and what the caller may do about it.
 *
 * A small struct on the stack, so that it works when memory does not. The text says the failure first
 * and quotes its subject, without capital or full stop: "cannot open '/var/lib/freshet': Permission
 * denied". A caller puts its context in front with fr_while().
 *
 * Thread: any.
 */
#ifndef FR_ERR_H
#define FR_ERR_H

#include <stdbool.h>

enum fr_status {
    FR_OK = 0,
    FR_INVALID,   /* the input is wrong; the same call will always fail */
    FR_CONFIG,    /* the configuration is wrong, or differs from what the store was built with */
    FR_NOT_FOUND, /* no such thing */
    FR_LIMIT,     /* a limit would be broken */
    FR_BUSY,      /* somebody else holds it */
    FR_TIMEOUT,   /* not in time */
    FR_CLOSED,    /* the other side has shut down */
    FR_IO,        /* the disk or the network failed */
    FR_FULL,      /* no space is left */
    FR_CORRUPT,   /* bytes that should be ours are not */
    FR_INTERNAL,  /* our own mistake */
};

struct fr_err {
    enum fr_status code;
    bool retriable; /* the same call may succeed later */
    char text[500];
};

/* Fills `err` (NULL is fine) and returns `code`: return fr_fail(err, FR_IO, "cannot open '%s'", path); */
__attribute__((format(printf, 3, 4))) int fr_fail(struct fr_err *err, enum fr_status code, const char *format, ...);

/* Puts words before the text already there, and returns its code. */
__attribute__((format(printf, 2, 3))) int fr_while(struct fr_err *err, const char *format, ...);

#endif
