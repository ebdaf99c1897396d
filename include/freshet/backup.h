/*
 * backup.h -- copies of the store that prove themselves.
 *
 *     DIR/backup-000007      what backup 7 is: its files, the positions it leads to, a digest of each part; sealed
 *     DIR/files/HASH-SIZE    a file of one or several backups, named by its content: what two have in common is there once
 *     DIR/LOCK               held while backups are made or removed
 *
 * A backup is there once its list is, and its list is written last. Whatever is killed when, those before it are as they
 * were, and what the dead one left behind is swept by the next, or when the daemon starts. While one is made, files that are there already are read back,
 * and written anew if they are not what their name says: what the disk has spoiled heals.
 *
 * Files are plain, so that DIR may be copied away with any tool, whole or while nothing is made.
 *
 * Why not RocksDB's backup engine: its C interface verifies sizes only and cannot remove a backup, it reuses a damaged shared file
 * without looking, and its steps cannot be parted by a test.
 *
 * Thread: any, one at a time for each directory (the lock says FR_BUSY).
 */
#ifndef FR_BACKUP_H
#define FR_BACKUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/codec.h"
#include "freshet/err.h"

struct backup_hash { /* XXH3-128 */
    uint64_t high, low;
};
struct backup_file {
    char name[64]; /* in the store: "000012.sst" */
    uint64_t size;
    struct backup_hash hash;
    bool bad; /* found so by backup_verify */
};
/* Keys and values of one part of the state in their order, whatever files they are in: "history/0" is the first 1024 segments. */
struct backup_part {
    char name[32];
    uint64_t keys;
    struct backup_hash hash;
};
struct backup_position {
    char topic[250];
    int32_t partition;
    int64_t next;   /* first offset the backup does not hold */
    when_ms newest; /* Kafka time of the newest record it holds; -1: none */
};
struct backup {
    uint64_t id; /* 1, 2, 3 ...; never given twice while the directory holds a younger one */
    when_ms made;
    char version[64]; /* of the program */
    when_ms now;      /* newest event time; -1: none */
    uint64_t events;  /* applied ever */
    uint64_t bytes;   /* of all files */
    struct backup_file *files;
    size_t files_len, files_cap;
    struct backup_part *parts; /* in the order of their keys */
    size_t parts_len, parts_cap;
    struct backup_position *positions;
    size_t positions_len, positions_cap;
    char problem[256]; /* why it cannot be used, seen without reading its files; "": nothing seen */
    bool found;        /* in a running daemon: `problem` is what a verification found */
};
void backup_release(struct backup *backup);

/* The text of a backup's list, and back; false if it is not one, word for word. `id` is not in it: it is the file's name. */
void backup_write(struct fr_writer *out, const struct backup *backup);
bool backup_read(struct fr_bytes text, struct backup *ret_backup);

struct backup_place {
    const char *path;
    const _Atomic bool *stop; /* NULL, or becomes true when work should end early (FR_CLOSED) */
};

/* All there are, newest first; usable or with a problem. A directory that is not there has none. */
struct backup_list {
    struct backup *at;
    size_t len;
};
int backup_list(const struct backup_place *place, struct backup_list *ret_list, struct fr_err *err);
void backup_list_release(struct backup_list *list);

/* Copies what store_ops.snapshot left in `frozen`, keeps the newest `keep` (at least 1) and removes the others. FR_CORRUPT: the
 * store itself is damaged, nothing was made; FR_FULL; FR_BUSY; FR_IO. What was written in vain is removed. */
struct backup_request {
    const char *frozen, *version;
    when_ms made;
    uint32_t keep;
    uint64_t reserve; /* bytes that stay free, and a quarter more, where the backup lies, if that is the disk of `frozen`; else FR_FULL. 0: none */
};
struct backup_made {
    uint64_t id, written; /* bytes that were not there before */
};
int backup_make(const struct backup_place *place, const struct backup_request *request, struct backup_made *ret_made,
                struct fr_err *err);
/* Removes what one that was killed has left, if there is anything. FR_BUSY: another process works there, and nothing was removed. */
int backup_sweep(const struct backup_place *place, struct fr_err *err);

/* Reads every byte back: the files, then the state in them, part by part. FR_CORRUPT: `problems` has a line for each, and its
 * files are marked. FR_NOT_FOUND: it was removed since it was listed. Any other error says nothing of the backup: files that cannot be
 * opened are none that are damaged. */
int backup_verify(const struct backup_place *place, const struct backup *backup, struct fr_writer *problems,
                  struct fr_err *err);

/*
 * Makes DATA/store what it was at the backup; DATA is a data directory whose lock the caller holds. A store that is there is set
 * aside as store.damaged, store.damaged-2 ... FR_CORRUPT: the backup is not good, and DATA is as it was. Any other error, of the disk
 * with DATA as well, says nothing of the backup, and an older one would fare no better.
 *
 *     copy to store.restoring, check     rename it to store.restored | rename store to store.damaged | rename store.restored to store
 *
 * Killed before the bar nothing has changed; after it backup_restore_finish does the rest, at the next start. What is made is marked
 * by a file in it until backup_restore_loaded: a store that still is so is not set aside but removed, since the backup holds the same.
 */
int backup_restore(const struct backup_place *place, const struct backup *backup, const char *data, struct fr_err *err);
/* *ret_finished: there was one to finish. */
int backup_restore_finish(const char *data, bool *ret_finished, struct fr_err *err);
/* The store could be loaded, and from now on may hold what no backup does. */
int backup_restore_loaded(const char *data, struct fr_err *err);
/* DATA/store alone, under the same names. */
int backup_set_aside(const char *data, struct fr_err *err);

/* ---- in a running daemon: a thread that does one thing at a time ------------------------------------------ */

struct backups;
struct backups_options {
    const char *path, *version;
    uint32_t keep;
    uint64_t reserve;   /* as in backup_request */
    const char *frozen; /* a directory beside the store, on the same disk; made and removed for each backup */
    /* Makes `frozen` a copy of the store; ends early with FR_CLOSED when `stop` becomes true. Thread: backup. */
    int (*snapshot)(void *context, const char *frozen, const _Atomic bool *stop, struct fr_err *err);
    void *context;
};
enum backups_job { BACKUPS_MAKE, BACKUPS_VERIFY, BACKUPS_JOBS };
struct backups_result {
    enum backups_job job;
    struct fr_err err; /* code FR_OK: done */
    double seconds;
    struct backup_made made;
    struct backups_check {
        uint64_t id;
        char *problems; /* a line for each; "": good */
    } *checks;
    size_t checks_len;
};
void backups_result_release(struct backups_result *result);

/* Waits for the first look at the backups, a second at most. */
struct backups *backups_start(const struct backups_options *options);
/* What is under way ends early, leaves nothing behind, and is told as FR_CLOSED; nothing is begun any more. NULL is fine. Thread: any. */
void backups_end(struct backups *backups);
void backups_stop(struct backups *backups); /* backups_end, then waits and frees. NULL is fine */
/* Begins; FR_BUSY: something is under way. `id` 0: all; only for BACKUPS_VERIFY. Thread: any. */
int backups_ask(struct backups *backups, enum backups_job job, uint64_t id, uint64_t *ret_ticket, struct fr_err *err);
bool backups_done(struct backups *backups, uint64_t ticket); /* thread: any */
/* The result, once; false if it was taken, or is long gone. The caller releases it. Thread: any. */
bool backups_take(struct backups *backups, uint64_t ticket, struct backups_result *ret_result);
/* As after the last job. The list is `context`'s to look at during the call only. False: they could not be listed since the
 * start, and the list has nothing in it. Thread: any. */
bool backups_look(struct backups *backups, void (*look)(void *context, const struct backup_list *list), void *context);

#endif
