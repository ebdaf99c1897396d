/*
 * say.c -- a word to whoever sits there.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int cli_fail(const char *format, ...)
{
    va_list args;

    fputs("freshet: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

bool cli_terminal(FILE *file)
{
    const char *term = getenv("TERM");

    return isatty(fileno(file)) && term && *term && strcmp(term, "dumb") != 0;
}
