/*
 * script.h -- scenarios: short text files that say what happens and what must then be so.
 *
 *     # Co-occurrence counts users, not events.            a comment; the first ones say what the scenario shows
 *     option mode product                                  settings, taken at the next start
 *     event ann apple click                                a record arrives in Kafka, and through the feed in the engine
 *     crash                                                the process dies
 *     restart
 *     expect similar apple: bread 0.5
 *
 * The vocabulary is in tests/replay/README.md. A problem names file and line.
 */
#ifndef FR_SCRIPT_H
#define FR_SCRIPT_H

#include "world.h"

enum { WORDS_MAX = 64 };

struct words {
    char room[1024];
    char *at[WORDS_MAX];
    size_t len;
};

/* One line. False: *problem of the world says why, without the place. */
bool script_line(struct world *world, const char *line);
/* All lines; the problem begins with "name:line: ". Ends with a comparison with the oracle, if an engine runs. */
bool script_run(struct world *world, const char *name, const char *text);

/* expect.c: `words` are those behind "expect". */
bool expect(struct world *world, const struct words *words);

/* Shared by the two. Each fills the problem when the text is no such thing. */
bool read_time(struct world *world, const char *text, when_ms *ret_time); /* "2d3h", "-90m", "1500ms", "0" */
bool read_count(struct world *world, const char *text, long long *ret_count);
bool read_partition(struct world *world, const char *text, int *ret_partition);

#endif
