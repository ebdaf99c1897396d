/*
 * clock.c -- the clocks of the system, and an instant as RFC 3339 text in UTC.
 */
#include "freshet/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct timespec read_clock(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);

    assert(!failed); /* it fails for clocks that do not exist, and these do */
    (void)failed;
    return now;
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

when_ms fr_wall_ms(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);

    return (when_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t fr_mono_ns(void)
{
    return nanoseconds(read_clock(CLOCK_MONOTONIC));
}

uint64_t fr_thread_ns(void)
{
    return nanoseconds(read_clock(CLOCK_THREAD_CPUTIME_ID));
}

uint64_t fr_thread_queued_ns(void)
{
    unsigned long long ran, queued = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");

    if (file && fscanf(file, "%llu %llu", &ran, &queued) != 2)
        queued = 0;
    if (file)
        fclose(file);
    return queued;
}

char *fr_time_text(when_ms when, char *room)
{
    int64_t seconds = when / 1000, millis = when % 1000;
    char text[64]; /* the earliest and the latest int64 need 31 bytes */
    struct tm utc;

    if (millis < 0) { /* before 1970: the second that began earlier */
        millis += 1000;
        seconds--;
    }
    time_t time = (time_t)seconds;
    struct tm *known = gmtime_r(&time, &utc);
    assert(known); /* every int64 of milliseconds has a year that fits an int */
    (void)known;
    int len = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)millis);
    assert(len > 0 && len < 32);
    return memcpy(room, text, (size_t)len + 1);
}
