/*
 * mark.h -- one number beside the database: up to which journal everything was synced.
 *
 * RocksDB cannot tell that the end of its write-ahead log is gone: a log cut off at a record's edge is a shorter log. This
 * can: a store that comes up with fewer journals than the mark says has lost some that were durable.
 *
 * Thread: the store's.
 */
#ifndef FR_MARK_H
#define FR_MARK_H

#include <stdint.h>

#include "freshet/err.h"

struct mark {
    int fd; /* -1: closed */
    uint64_t sequence, number;
};
/* The file DURABLE.freshet in `folder`, made if missing. A file that cannot be understood counts as none. */
int mark_open(struct mark *mark, const char *folder, struct fr_err *err);
void mark_close(struct mark *mark);
/* On the disk when it returns. */
int mark_write(struct mark *mark, uint64_t number, struct fr_err *err);

/* Does the disk take and keep a small new file there? Asked before a store is opened anew: a library that meets the same error
 * again while it recovers may end the process. */
int mark_probe(const char *folder, struct fr_err *err);

#endif
