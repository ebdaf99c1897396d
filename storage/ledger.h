/*
 * ledger.h -- records beside the database that no restore takes back: who was forgotten, and when.
 *
 * Thread: the store's.
 */
#ifndef FR_LEDGER_H
#define FR_LEDGER_H

#include <sys/types.h>

#include "freshet/bytes.h"
#include "freshet/err.h"
#include "freshet/store.h"

enum { LEDGER_RECORD_MAX = 1024, LEDGER_APPEND_MAX = 64 << 10 /* with 16 bytes for each record */ };

/* What is remembered between appends; {0}: nothing. */
struct ledger {
    ino_t inode;
    off_t size, end; /* as the file was left: its size, and where the last record that is whole and synced ends */
};

/* Adds records of 1 .. LEDGER_RECORD_MAX bytes, LEDGER_APPEND_MAX in all; on the disk, all of them or some first ones, when it returns. After an error what was there
 * before is still there, and the same call may be made again. The file is read only if it is not as this call left it: damage to what is
 * there already (FR_CORRUPT) may be seen by ledger_read alone. */
int ledger_append(struct ledger *ledger, const char *path, const struct fr_bytes *records, size_t len, struct fr_err *err);
/* Each record, in the order they came; a file that is missing has none. FR_CORRUPT, naming the place, if it is damaged. The
 * last append may be cut short, or zeros may be where a block of it was to be, as a crash leaves them: what is whole before that counts. */
int ledger_read(const char *path, store_note *each, void *context, struct fr_err *err);

#endif
