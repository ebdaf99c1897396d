/*
 * crash.h -- named places where a test kills the process.
 *
 *     fr_crash_point("checkpoint.written");            nothing, unless built with -DFRESHET_CRASH_POINTS=ON
 *
 *     FRESHET_CRASH_POINT=checkpoint.written freshetd ...      kill -9 to itself at the first pass
 *     FRESHET_CRASH_POINT=checkpoint.written:3 freshetd ...    at the third
 *     FRESHET_CRASH_POINT=list freshetd                        prints the names there are, and exits
 *
 * Put a point between any two steps that a crash must be able to part. The table of names makes itself: each point leaves its
 * name in a section of the program, so there is no list to keep and every name in it is really somewhere. The same name
 * may stand in several places. e2e/crash_points tries each, and names the tests of those that need more than a stream of events.
 */
#ifndef FR_CRASH_H
#define FR_CRASH_H

#ifdef FRESHET_CRASH_POINTS

#include <stdbool.h>

struct fr_crash_point {
    const char *name;
    bool armed;
} __attribute__((aligned(16))); /* so that the section is an array */

#define fr_crash_point(text)                                                                                             \
    do {                                                                                                               \
        static struct fr_crash_point crash_point_here __attribute__((section("fr_crash"), used)) = {(text), false};    \
        if (crash_point_here.armed)                                                                                    \
            fr_crash_pass();                                                                                           \
    } while (0)

void fr_crash_pass(void); /* an armed point; does not return from the n-th pass. Thread: any */
/* Reads the environment; ends the process with 2 when there is no such point. Thread: main, before any other starts. */
void fr_crash_begin(void);

#else

#define fr_crash_point(text) ((void)0)
static inline void fr_crash_begin(void)
{
}

#endif
#endif
