/*
 * say.c -- a word to whoever sits there.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "freshet/alloc.h"

int cli_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = fr_zalloc(len > 0 ? (size_t)len + 1 : 1, 1), *shown;
    va_start(args, format);
    vsnprintf(text, len > 0 ? (size_t)len + 1 : 1, format, args);
    va_end(args);
    shown = cli_printable(text);
    progress_make_way();
    fprintf(stderr, "freshet: %s\n", shown);
    free(shown);
    free(text);
    return CLI_FAILED;
}

bool cli_terminal(FILE *file)
{
    const char *term = getenv("TERM");

    return isatty(fileno(file)) && term && *term && strcmp(term, "dumb") != 0;
}
