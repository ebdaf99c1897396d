/*
 * rocks_warm.c -- has the kernel read a database's tables ahead, file by file, while somebody else reads them in order.
 *
 * An iterator reads ahead too, but by turns: it asks for a piece, waits, hands it out. Here the disk never waits for
 * whoever makes something of the bytes. What does not fit in half of the free memory is left to the iterators.
 */
#include "rocks_warm.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static bool is_table(const char *name)
{
    const char *end = strrchr(name, '.');

    return end && strcmp(end, ".sst") == 0;
}

/* Returns what is left of the room. */
static off_t warm_file(int file, off_t room, const _Atomic bool *stop)
{
    struct stat stat;

    if (fstat(file, &stat))
        return room;
    for (off_t at = 0; at < stat.st_size && room > 0 && !*stop; at += PIECE, room -= PIECE)
        posix_fadvise(file, at, PIECE, POSIX_FADV_WILLNEED);
    return room;
}

void rocks_warm(const char *path, const _Atomic bool *stop)
{
    off_t room = (off_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2;
    DIR *folder = opendir(path);
    const struct dirent *entry;

    while (folder && room > 0 && !*stop && (entry = readdir(folder))) {
        int file = is_table(entry->d_name) ? openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0)
            continue; /* a hint: whoever reads it will say what is wrong */
        room = warm_file(file, room, stop);
        close(file);
    }
    if (folder)
        closedir(folder);
}
