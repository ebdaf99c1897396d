/*
 * health.h -- is all well? What is amiss, in the words of somebody who has three seconds.
 *
 * Thread: any.
 */
#ifndef FR_HEALTH_H
#define FR_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/engine.h"
#include "freshet/life.h"

struct health {
    enum fr_state state;
    const char *stuck;                  /* the loop that does not move; NULL: all do */
    bool held[HOLDS], admission_closed;
    bool unreachable;                   /* no Kafka broker answers */
    const char *brokers, *topic;        /* NULL: not known yet */
    const struct engine_status *engine; /* NULL: none is attached */
    double disk_free;                   /* bytes */
    double uncommitted;                 /* seconds */
    double interval;                    /* seconds from one checkpoint to the next, as configured; 0: not known yet */
};

enum health_level { HEALTH_GOOD, HEALTH_BUSY, HEALTH_WARN, HEALTH_BAD };
struct finding {
    enum health_level level;
    char text[160], detail[320]; /* a few words that begin with the state; what it means and what goes on meanwhile */
};
enum { FINDINGS_MAX = 12 };
/* What is amiss, worst first; what stands first is the headline. If nothing is: one finding, "Up to date". Returns how many. */
size_t health_look(const struct health *health, struct finding room[FINDINGS_MAX]);
double health_unsaved_limit(double interval); /* seconds: what is unsaved for longer is late */
const char *health_level_name(enum health_level level); /* "good", "busy", "warn", "bad" */

/* 12300: "12,300"; into room of at least 32 bytes; returns room. */
char *health_count(uint64_t number, char *room);

#endif
