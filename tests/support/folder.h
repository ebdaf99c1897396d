/* folder.h -- a temporary folder for one test, and its removal. */
#ifndef FR_TEST_FOLDER_H
#define FR_TEST_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline int folder_remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static inline void folder_remove(const char *path)
{
    nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* `room` of at least 256 bytes; returns it. */
static inline char *folder_make(char *room)
{
    const char *under = getenv("TMPDIR");

    snprintf(room, 256, "%s/freshet-test-XXXXXX", under && *under ? under : "/tmp");
    if (!mkdtemp(room)) {
        perror(room);
        abort();
    }
    return room;
}

#endif
