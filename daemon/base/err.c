/*
 * err.c -- errors are filled on the stack; nothing here allocates.
 *
 * The new text is made aside and then copied, so that the old one may be among the arguments.
 */
#include "freshet/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fr_fail(struct fr_err *err, enum fr_status code, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err->code = code;
    err->retriable = false;
    memcpy(err->text, text, sizeof(text));
    return code;
}

int fr_while(struct fr_err *err, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    if (!err)
        return FR_INTERNAL;
    va_start(args, format);
    int put = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t len = put < 0 ? 0 : (size_t)put;
    if (len >= sizeof(text))
        len = sizeof(text) - 1;
    size_t rest = strnlen(err->text, sizeof(text) - 1 - len);
    memcpy(text + len, err->text, rest);
    memset(text + len + rest, 0, sizeof(text) - len - rest);
    memcpy(err->text, text, sizeof(text));
    return err->code;
}
