/*
 * eval_calls.h -- the program called with a file, and figures read from the document it prints.
 */
#ifndef FR_EVAL_CALLS_H
#define FR_EVAL_CALLS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static inline char *file_of(const char *text)
{
    char *path = strdup("/tmp/freshet-eval-XXXXXX");
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    return path;
}

static inline void file_gone(char *path)
{
    unlink(path);
    free(path);
}

static inline int run_verb(const char *verb, const char *arguments, char *said, size_t room)
{
    char command[8192];

    snprintf(command, sizeof(command), "'%s' %s %s", FRESHET, verb, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    said[fread(said, 1, room - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline json_t *eval(const char *arguments)
{
    static char said[65536];
    char call[4096];

    snprintf(call, sizeof(call), "%s --output json 2>/dev/null", arguments);
    assert_int_equal(run_verb("eval", call, said, sizeof(said)), 0);
    json_t *document = json_loads(said, 0, NULL);
    assert_non_null(document);
    return document;
}

static inline void expect(const json_t *document, const char *model, const char *figure, double value, int over)
{
    const json_t *found = json_object_get(json_object_get(json_object_get(document, "models"), model), figure);

    assert_non_null(found);
    double is = json_number_value(json_object_get(found, "value"));
    if (fabs(is - value) > 1e-9)
        fail_msg("%s of %s is %.9f, not %.9f", figure, model, is, value);
    assert_int_equal(json_integer_value(json_object_get(found, "over")), over);
}

#endif
