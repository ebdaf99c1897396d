/*
 * ledger.h -- records beside the database that no restore takes back: who was forgotten, and when.
 *
 * Thread: the store's.
 */
#ifndef FR_LEDGER_H
#define FR_LEDGER_H

#include "freshet/bytes.h"
#include "freshet/err.h"
#include "freshet/store.h"

enum { LEDGER_RECORD_MAX = 1024 };

/* Adds records of 1 .. LEDGER_RECORD_MAX bytes; on the disk, all of them or some first ones, when it returns. After an error what was there
 * before is still there, and the same call may be made again. */
int ledger_append(const char *path, const struct fr_bytes *records, size_t len, struct fr_err *err);
/* Each record, in the order they came; a file that is missing has none. FR_CORRUPT, naming the place, if it is damaged. The
 * last record may be cut short, and is then none. */
int ledger_read(const char *path, store_note *each, void *context, struct fr_err *err);

#endif
