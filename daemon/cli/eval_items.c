/*
 * eval_items.c -- freshet eval --items FILE: what is said of items, one Item as JSON per line, as `freshet publish --format items-jsonl` takes
 * them.
 *
 * It is said before the first event. Of a record count what shapes scores and lists at any time: categories, features and hidden. When an
 * item is available is not looked at, for events of the past have another present.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "formats.h"

#include "freshet/alloc.h"
#include "freshet/catalogue.h"

static struct fr_bytes text_of(const json_t *value)
{
    return (struct fr_bytes){json_string_value(value), json_string_length(value)};
}

/* NULL, or what is wrong. */
static const char *read_categories(const json_t *categories, struct item_said *said)
{
    size_t i;
    json_t *value;

    if (categories && !json_is_null(categories) && !json_is_array(categories))
        return "has categories that are no array";
    json_array_foreach (categories, i, value) {
        struct fr_bytes name = text_of(value);
        if (!json_is_string(value) || fr_id_problem(name.at, name.len))
            return "has a category that is no name";
        if (!item_said_category(said, name))
            return "has too many categories";
    }
    return NULL;
}

static const char *read_features(json_t *features, struct item_said *said)
{
    const char *name;
    json_t *value;

    if (features && !json_is_null(features) && !json_is_object(features))
        return "has features that are no object";
    json_object_foreach (features, name, value) {
        if (!json_is_string(value) || !fr_feature_key(fr_bytes_of(name), text_of(value)))
            return "has a feature that is no text, or too long";
        if (!features_said_add(&said->features, fr_bytes_of(name), text_of(value)))
            return "has too many features";
    }
    return NULL;
}

static const char *take(struct eval_catalogue *catalogue, struct names *items, const struct line_event *line, struct fr_writer *bytes)
{
    static struct item_said said; /* large */
    json_t *object = json_loadb(line->said.at, line->said.len, 0, NULL);
    const char *problem;

    memset(&said, 0, sizeof(said));
    said.owner = said.title = said.embedding = FR_BYTES("");
    said.hidden = json_is_true(json_object_get(object, "hidden"));
    problem = read_categories(json_object_get(object, "categories"), &said);
    if (!problem)
        problem = read_features(json_object_get(object, "features"), &said);
    if (!problem) {
        fr_writer_reset(bytes);
        catalogue_item_write(bytes, &said);
        struct fr_bytes written = fr_written(bytes);
        char *kept = memcpy(fr_arena_take(&catalogue->arena, written.len), written.at, written.len);
        fr_reserve((void **)&catalogue->at, &catalogue->cap, catalogue->len + 1, sizeof(*catalogue->at));
        catalogue->at[catalogue->len++] = (struct eval_item){names_put(items, line->item), {kept, written.len}};
    }
    json_decref(object);
    return problem;
}

bool eval_load_items(struct eval_catalogue *catalogue, struct names *items, const char *path)
{
    struct format *format = format_new("items-jsonl");
    struct lines lines = {.file = fopen(path, "r"), .name = path, .most = LINE_MOST};
    struct fr_writer bytes;
    const char *problem = NULL;

    if (!lines.file)
        cli_fail("cannot read '%s': %s", path, strerror(errno));
    fr_writer_init(&bytes, 0);
    while (lines.file && !problem && lines_next(&lines)) {
        struct line_event line;
        enum line_result result = format_line(format, lines.at, lines.len, &line, &problem);
        if (result == LINE_SAID)
            problem = take(catalogue, items, &line, &bytes);
        else if (result == LINE_SKIP)
            problem = NULL;
    }
    if (problem)
        cli_fail("%s:%llu %s", path, (unsigned long long)lines.number, problem);
    bool good = lines.file && !problem && !lines.failed;
    fr_writer_release(&bytes);
    lines_release(&lines);
    if (lines.file)
        fclose(lines.file);
    format_free(format);
    return good;
}

void eval_catalogue_release(struct eval_catalogue *catalogue)
{
    free(catalogue->at);
    fr_arena_release(&catalogue->arena);
    *catalogue = (struct eval_catalogue){0};
}
