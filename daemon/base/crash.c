/*
 * crash.c -- which crash point is armed, and the death at it. Only in builds with -DFRESHET_CRASH_POINTS=ON.
 */
#include "freshet/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* The linker's marks around the section; weak, for a program that has no point. */
extern struct fr_crash_point points_begin[] __asm__("__start_fr_crash") __attribute__((weak));
extern struct fr_crash_point points_end[] __asm__("__stop_fr_crash") __attribute__((weak));

enum { EXIT_NO_SUCH_POINT = 2 };

static _Atomic long passes_left;

void fr_crash_pass(void)
{
    if (atomic_fetch_sub(&passes_left, 1) != 1)
        return;
    kill(getpid(), SIGKILL);
    for (;;) /* the signal is on its way */
        pause();
}

static void list(void)
{
    for (struct fr_crash_point *point = points_begin; point < points_end; point++) {
        bool before = false; /* a name is listed where it stands first */
        for (struct fr_crash_point *other = points_begin; other < point && !before; other++)
            before = strcmp(other->name, point->name) == 0;
        if (!before)
            puts(point->name);
    }
}

void fr_crash_begin(void)
{
    const char *wanted = getenv("FRESHET_CRASH_POINT");
    const char *colon = wanted ? strchr(wanted, ':') : NULL;
    size_t len = colon ? (size_t)(colon - wanted) : wanted ? strlen(wanted) : 0;
    char *end = "";
    long passes = colon ? strtol(colon + 1, &end, 10) : 1;
    bool found = false;

    if (!wanted || !*wanted)
        return;
    if (strcmp(wanted, "list") == 0) {
        list();
        exit(EX_OK);
    }
    for (struct fr_crash_point *point = points_begin; point < points_end; point++) {
        point->armed = strlen(point->name) == len && memcmp(point->name, wanted, len) == 0;
        found = found || point->armed;
    }
    if (!found || passes < 1 || *end) {
        fprintf(stderr, "FRESHET_CRASH_POINT=%s: not NAME or NAME:PASS of a crash point; 'list' shows them\n", wanted);
        exit(EXIT_NO_SUCH_POINT);
    }
    atomic_store(&passes_left, passes);
}
