/*
 * lines.c -- a file line by line. A line has a ceiling, so that a file without line ends, or no file of lines at all, is refused instead
 * of being taken into memory. Lines may end as on Windows, and the first may begin as there, with a byte order mark.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#include "freshet/alloc.h"

static bool stop(struct lines *lines, const char *why)
{
    cli_fail("%s:%llu %s", lines->name, (unsigned long long)lines->number, why);
    lines->failed = true;
    return false;
}

static void skip_mark(struct lines *lines)
{
    static const char mark[] = "\xEF\xBB\xBF";

    if (lines->len < 3 || memcmp(lines->at, mark, 3) != 0)
        return;
    lines->len -= 3;
    memmove(lines->at, lines->at + 3, lines->len);
}

bool lines_next(struct lines *lines)
{
    int c;

    lines->len = 0;
    lines->number++;
    while ((c = getc_unlocked(lines->file)) != EOF && c != '\n') {
        if (lines->len == lines->most)
            return stop(lines, "is longer than any line may be");
        fr_reserve((void **)&lines->at, &lines->room, lines->len + 2, 1);
        lines->at[lines->len++] = (char)c;
    }
    if (ferror(lines->file)) {
        char why[200];
        snprintf(why, sizeof(why), "and what follows cannot be read: %s", strerror(errno));
        return stop(lines, why);
    }
    if (c == EOF && !lines->len)
        return false;
    while (lines->len && lines->at[lines->len - 1] == '\r')
        lines->len--;
    if (lines->number == 1)
        skip_mark(lines);
    fr_reserve((void **)&lines->at, &lines->room, lines->len + 1, 1);
    lines->at[lines->len] = '\0';
    return true;
}

void lines_release(struct lines *lines)
{
    free(lines->at);
    lines->at = NULL;
}
