/*
 * config_read.c -- where values come from: a file, the environment, --set.
 *
 * inih splits the lines (section, key = value or key: value, comments with ; or #, also after a value when a space and
 * ; come first). Debian's inih tells no line numbers, but it asks for one line at a time, so the line it is in is the
 * number of times it has asked. Thread: main's; inih's own settings are global.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

struct source {
    struct config *cfg;
    const char *name;
    const char *at, *end;
    int line;
};

/* inih's fgets: the next line, or an empty one in place of a line that cannot be ours. */
static char *next_line(char *room, int room_len, void *stream)
{
    struct source *source = stream;
    const char *newline;
    size_t len;

    if (source->at == source->end)
        return NULL;
    newline = memchr(source->at, '\n', (size_t)(source->end - source->at));
    len = newline ? (size_t)(newline - source->at) : (size_t)(source->end - source->at);
    source->line++;
    if (len > CONFIG_LINE_MAX || (int)len >= room_len) {
        config_problem(source->cfg, "%s:%d: the line is longer than %d bytes", source->name, source->line,
                       CONFIG_LINE_MAX);
        room[0] = 0;
    } else if (memchr(source->at, 0, len)) {
        config_problem(source->cfg, "%s:%d: the line contains a NUL byte", source->name, source->line);
        room[0] = 0;
    } else {
        memcpy(room, source->at, len);
        room[len] = 0;
    }
    source->at += len + (newline != NULL);
    return room;
}

static int take_value(void *context, const char *section, const char *key, const char *value)
{
    struct source *source = context;
    char origin[400];

    snprintf(origin, sizeof origin, "%.380s:%d", source->name, source->line);
    if (*section)
        config_put(source->cfg, section, key, value, origin);
    else
        config_problem(source->cfg, "%s: '%.80s' stands before the first [section]", origin, key);
    return 1;
}

void config_read_text(struct config *cfg, const char *name, const char *text, size_t len)
{
    struct source source = {cfg, name, text, text + len, 0};
    int bad_line;

    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = CONFIG_LINE_MAX + 3;
    ini_allow_multiline = false;
    bad_line = ini_parse_stream(next_line, &source, take_value, &source);
    if (bad_line > 0)
        config_problem(cfg, "%s:%d: neither a [section], nor key = value, nor a comment", name, bad_line);
    else if (bad_line < 0)
        config_problem(cfg, "%s: no memory to read it", name);
}

char *config_file_text(struct config *cfg, const char *path, size_t *ret_len)
{
    char *text = fr_alloc(CONFIG_FILE_MAX + 1);
    FILE *file;
    size_t len = 0;
    bool good = false;

    errno = 0;
    file = fopen(path, "re");
    if (file)
        len = fread(text, 1, CONFIG_FILE_MAX + 1, file);
    if (!file || ferror(file))
        config_problem(cfg, "cannot read '%s': %s", path, strerror(errno));
    else if (len > CONFIG_FILE_MAX)
        config_problem(cfg, "%s: the file is longer than %d bytes", path, CONFIG_FILE_MAX);
    else
        good = true;
    if (file)
        fclose(file);
    *ret_len = len;
    if (good)
        return text;
    free(text);
    return NULL;
}

void config_read_file(struct config *cfg, const char *path)
{
    size_t len;
    char *text = config_file_text(cfg, path, &len);

    if (text)
        config_read_text(cfg, path, text, len);
    free(text);
}

/* [kafka] keys have dots, but for a few that have underscores. */
static void kafka_name(char *key, bool (*known)(const char *key))
{
    char *dotted = fr_strdup(key);

    for (char *at = dotted; *at; at++)
        if (*at == '_')
            *at = '.';
    if (!known || known(dotted) || !known(key))
        strcpy(key, dotted);
    free(dotted);
}

void config_read_environment(struct config *cfg, char *const *environment, bool (*kafka_known)(const char *key))
{
    static const char prefix[] = "FRESHET_";
    char name[200], origin[240];

    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        char *key;

        if (strncmp(*environment, prefix, sizeof prefix - 1) != 0 || !equals ||
            equals - *environment >= (int)sizeof name)
            continue;
        memcpy(name, *environment, (size_t)(equals - *environment));
        name[equals - *environment] = 0;
        snprintf(origin, sizeof origin, "environment %s", name);
        key = strstr(name + sizeof prefix - 1, "__");
        if (!key)
            continue; /* FRESHET_SERVER and its like are the client's */
        *key = 0;
        key += 2;
        for (char *at = name; at < name + (equals - *environment); at++)
            *at = (char)tolower((unsigned char)*at);
        if (strcmp(name + sizeof prefix - 1, "kafka") == 0)
            kafka_name(key, kafka_known);
        config_put(cfg, name + sizeof prefix - 1, key, equals + 1, origin);
    }
}

/* The dot and the equals sign of section.key=value; false if it is none. */
static bool find_parts(const char *setting, const char **ret_dot, const char **ret_equals)
{
    *ret_equals = strchr(setting, '=');
    *ret_dot = *ret_equals ? memchr(setting, '.', (size_t)(*ret_equals - setting)) : NULL;
    return *ret_dot && *ret_dot != setting && *ret_dot + 1 != *ret_equals;
}

bool config_is_setting(const char *setting)
{
    const char *dot, *equals;

    return find_parts(setting, &dot, &equals);
}

void config_read_setting(struct config *cfg, const char *setting)
{
    const char *equals, *dot;
    char *section, *key;

    if (!find_parts(setting, &dot, &equals)) {
        config_problem(cfg, "--set: '%.200s' is not section.key=value", setting);
        return;
    }
    section = fr_strndup(setting, (size_t)(dot - setting));
    key = fr_strndup(dot + 1, (size_t)(equals - dot - 1));
    config_put(cfg, section, key, equals + 1, "--set");
    free(key);
    free(section);
}
