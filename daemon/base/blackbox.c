/*
 * blackbox.c -- see blackbox.h. Everything that happens at a crash is stores into memory that is mapped already.
 *
 *     file:  "freshet1" | suspect[64]: partition u32, times u32 (0: free), offset i64       one page, this machine's bytes
 */
#include "freshet/blackbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "freshet/log.h"

enum { BOX_BYTES = 4096 };
#define BOX_MAGIC "freshet1"

struct suspect {
    uint32_t partition;
    uint32_t times; /* 0: free */
    int64_t offset;
};

struct box {
    char magic[8];
    struct suspect suspects[FR_BOX_SUSPECTS];
};
_Static_assert(sizeof(struct box) <= BOX_BYTES, "the box is one page");

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { FATALS = sizeof(fatal) / sizeof(*fatal) };

_Thread_local struct fr_flight fr_flight = {.offset = -1};
static struct box *box; /* NULL: not open */
static bool any;        /* is there a suspect? Most often not, and each record is asked about */
static struct sigaction before[FATALS];
static atomic_flag noted = ATOMIC_FLAG_INIT; /* one crash blames one record, though others crash while the process dies */

/* The suspect; where there is none yet, a free place or that of the one with the least against it. */
static struct suspect *place_of(uint32_t partition, int64_t offset)
{
    struct suspect *best = &box->suspects[0];

    for (int i = 0; i < FR_BOX_SUSPECTS; i++) {
        struct suspect *suspect = &box->suspects[i];
        if (suspect->times && suspect->partition == partition && suspect->offset == offset)
            return suspect;
        if (suspect->times < best->times)
            best = suspect;
    }
    *best = (struct suspect){partition, 0, offset};
    return best;
}

/* Then the signal takes its course: what was there before us, or the default, a core dump. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (fr_flight.offset >= 0 && !atomic_flag_test_and_set(&noted))
        place_of(fr_flight.partition, fr_flight.offset)->times++;
    for (int i = 0; i < FATALS; i++)
        if (fatal[i] == number)
            sigaction(number, &before[i], NULL);
    if (info->si_code <= 0)
        raise(number); /* sent, by abort() or from outside: it does not come again by itself as a fault does */
}

static void watch(void)
{
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    for (int i = 0; i < FATALS; i++)
        sigaction(fatal[i], &action, &before[i]);
}

static void look(bool forget)
{
    if (forget || memcmp(box->magic, BOX_MAGIC, sizeof(box->magic)) != 0) {
        memset(box, 0, sizeof(*box));
        memcpy(box->magic, BOX_MAGIC, sizeof(box->magic));
    }
    any = false;
    for (int i = 0; i < FR_BOX_SUSPECTS; i++) {
        const struct suspect *suspect = &box->suspects[i];
        if (!suspect->times)
            continue;
        any = true;
        fr_log(FR_WARN, "main", "crash.suspect",
               FR_FIELDS(FR_INT("partition_index", suspect->partition), FR_INT("offset", suspect->offset),
                         FR_INT("times", suspect->times)),
               "the process has crashed %u times with this record in hand; after %d it is dead-lettered undecoded",
               suspect->times, FR_BOX_TIMES);
    }
}

int fr_box_open(const char *path, bool forget, struct fr_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    /* Blocks are taken now: a store into a mapped hole of a full disk would be a crash of its own. */
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, BOX_BYTES);
    void *map = failed ? MAP_FAILED : mmap(NULL, BOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (!failed && map == MAP_FAILED)
        failed = errno;
    if (fd >= 0)
        close(fd);
    if (failed)
        return fr_fail(err, failed == ENOSPC ? FR_FULL : FR_IO, "cannot map '%s': %s", path, strerror(failed));
    box = map;
    look(forget);
    atomic_flag_clear(&noted);
    watch();
    return FR_OK;
}

void fr_box_close(bool clean)
{
    if (!box)
        return;
    for (int i = 0; i < FATALS; i++)
        sigaction(fatal[i], &before[i], NULL);
    if (clean)
        memset(box->suspects, 0, sizeof(box->suspects));
    munmap(box, BOX_BYTES);
    box = NULL;
    any = false;
}

bool fr_box_convicts(uint32_t partition, int64_t offset)
{
    if (!any)
        return false;
    for (int i = 0; i < FR_BOX_SUSPECTS; i++) {
        const struct suspect *suspect = &box->suspects[i];
        if (suspect->times >= FR_BOX_TIMES && suspect->partition == partition && suspect->offset == offset)
            return true;
    }
    return false;
}

void fr_box_passed(uint32_t partition, int64_t next)
{
    for (int i = 0; any && i < FR_BOX_SUSPECTS; i++)
        if (box->suspects[i].partition == partition && box->suspects[i].offset < next)
            box->suspects[i].times = 0;
}
