/*
 * stuck_log.c -- LD_PRELOAD: a disk under the log that never answers, as that of a server that is gone.
 *
 *     STUCK_LOG    a file; as soon as it is there, who writes to stderr sleeps for good, and adds a byte to it before
 *
 * As on such a disk, the sleep is one that no handler of a signal interrupts, and that only the end of the process ends: that of a
 * parent whose child shares with it all that CLONE_VFORK says.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void sleep_for_good(int mark)
{
    syscall(SYS_write, mark, "x", 1L);
    if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0L, 0L, 0L, 0L) == 0) {
        syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
        for (;;)
            syscall(SYS_ppoll, 0L, 0L, 0L, 0L, 0L);
    }
}

ssize_t write(int fd, const void *at, size_t len)
{
    const char *stuck = fd == STDERR_FILENO ? getenv("STUCK_LOG") : NULL;
    int mark = stuck ? open(stuck, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

    if (mark >= 0)
        sleep_for_good(mark);
    return syscall(SYS_write, fd, at, len);
}
