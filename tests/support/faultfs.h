/*
 * faultfs.h -- the journal of what a power cut would undo, shared by faultfs.so, which writes it, and powerloss, which
 * plays it back.
 *
 *     UNDO/<inode>        changes of that file since its last fsync, oldest first; each with the bytes that were there
 *     UNDO/<inode>.lost   changes whose fsync failed: the kernel gives such pages up, and no later fsync brings them back
 *     UNDO/names          creations, renames and removals since the last fsync of their folder, a line each
 *     UNDO/saved-N        a link to a file that was removed or replaced
 *
 * All of it is written by plain write(2) before the change itself is made, so that it survives a kill -9.
 */
#ifndef FAULTFS_H
#define FAULTFS_H

#include <stdint.h>

struct faultfs_change {
    uint64_t offset, len; /* what was written; len 0: the size alone changed */
    uint64_t old_size;
    uint64_t old_len; /* bytes that follow: what was at `offset` before, up to the old end */
};

/* Reads the environment; called when the library is loaded. A program that has faultfs.c linked in may change it and call again. */
void faultfs_begin(void);

#define FAULTFS_NAMES "names" /* "create\tA\t-\t-\n" | "rename\tA\tB\tSAVED\n" | "unlink\tA\t-\tSAVED\n"; SAVED may be "-" */

#endif
