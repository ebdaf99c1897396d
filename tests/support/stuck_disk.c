/*
 * stuck_disk.c -- LD_PRELOAD: a disk that hangs, as that of a file server that is gone: who asks how much is free waits.
 *
 *     STUCK_DISK    a file; while it is there, statvfs adds a byte to it and does not return
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

int statvfs(const char *path, struct statvfs *ret_status)
{
    const char *stuck = getenv("STUCK_DISK");
    int mark = stuck ? open(stuck, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    int (*ask)(const char *, struct statvfs *);

    if (mark >= 0) {
        if (write(mark, "x", 1) != 1)
            abort();
        close(mark);
        while (access(stuck, F_OK) == 0)
            poll(NULL, 0, 10);
    }
    *(void **)&ask = dlsym(RTLD_NEXT, "statvfs");
    return ask(path, ret_status);
}
