/*
 * lines_fuzz.c -- any text as a file that `freshet publish` reads: each line is an event with good ids, or is skipped, or has a
 * problem that is named.
 *
 *     input   selector | line \n line ...          selector: the format
 */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_line(struct format *format, const uint8_t *at, size_t len)
{
    char *line = malloc(len + 1); /* of its own, so that a read past it is seen */
    struct line_event event;
    const char *problem = NULL;

    memcpy(line, at, len);
    line[len] = '\0';
    enum line_result result = format_line(format, line, len, &event, &problem);
    assert(result != LINE_BAD || problem);
    if (result == LINE_EVENT) {
        assert(!fr_id_problem(event.user.at, event.user.len) && !fr_id_problem(event.item.at, event.item.len));
        assert(!event.has_value || isfinite(event.value));
        assert(event.context_len <= FEATURES_MAX);
        uint64_t keys[FEATURES_MAX];
        size_t keys_len = 0;
        for (size_t i = 0; i < event.context_len; i++) /* looks at every byte */
            fr_feature_add(keys, &keys_len, event.context[i].name, event.context[i].value);
    }
    if (result == LINE_SAID) {
        struct fr_bytes id = format_of(format) == FORMAT_OF_USERS ? event.user : event.item;
        assert(!fr_id_problem(id.at, id.len) && event.said.len);
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"movielens",   "csv",   "tsv",       "jsonl",      "online-retail",
                                        "items-jsonl", "items-tsv", "users-jsonl", "libfm"};

    if (size < 1)
        return 0;
    struct format *format = format_new(names[data[0] % 9]);
    const uint8_t *at = data + 1, *end = data + size;
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at);
        try_line(format, at, len);
        at += len + 1;
    }
    format_free(format);
    return 0;
}
