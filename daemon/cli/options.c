/*
 * options.c -- one table of options per verb: read, checked and explained from the same rows.
 *
 *     --name VALUE   --name=VALUE   -n VALUE   -nVALUE   --flag   --   (what follows is no option)
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/alloc.h"

/* About 32 years. Until when that is, everybody can tell; not so of 64 bits. */
#define MS_MOST UINT64_C(1000000000000)

struct access_files access_files;

const char *cli_environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

struct common common_defaults(void)
{
    const char *server = cli_environment("FRESHET_SERVER");

    access_files = (struct access_files){
        .tls_ca = cli_environment("FRESHET_TLS_CA"),
        .tls_cert = cli_environment("FRESHET_TLS_CERT"),
        .tls_key = cli_environment("FRESHET_TLS_KEY"),
        .token = cli_environment("FRESHET_TOKEN_FILE"),
    };
    return (struct common){
        .server = server ? server : "127.0.0.1:50051",
        .output = "table",
        .timeout_ms = 10000,
    };
}

bool common_json(const struct common *common)
{
    return strcmp(common->output, "json") == 0;
}

bool common_check(const struct common *common)
{
    if (common_json(common) || !strcmp(common->output, "table"))
        return true;
    cli_fail("--output is '%s'; it may be table or json", common->output);
    return false;
}

static int explain(const struct usage *usage, const struct option_row *rows)
{
    printf("freshet %s %s\n\n%s\n\n", usage->verb, usage->arguments, usage->about);
    for (; rows->name; rows++) {
        char left[64];
        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", rows->letter ? '-' : ' ', rows->letter ? rows->letter : ' ',
                 rows->letter ? ", " : "  ", rows->name, rows->argument ? " " : "", rows->argument ? rows->argument : "");
        printf("  %-30s %s\n", left, rows->help);
    }
    printf("\nExample:\n  %s\n", usage->example);
    return CLI_DONE;
}

static const struct option_row *find(const struct option_row *rows, const char *name, size_t len)
{
    for (; rows->name; rows++)
        if (strlen(rows->name) == len && !memcmp(rows->name, name, len))
            return rows;
    return NULL;
}

static const struct option_row *find_letter(const struct option_row *rows, char letter)
{
    for (; rows->name; rows++)
        if (rows->letter == letter)
            return rows;
    return NULL;
}

void *cli_take(size_t count, size_t size)
{
    static struct fr_arena arena; /* reachable to the end */

    return memset(fr_arena_take(&arena, count * size + 1), 0, count * size + 1);
}

void texts_add(struct texts *texts, const char *text)
{
    if (texts->len == texts->cap) {
        size_t cap = texts->cap ? texts->cap * 2 : 8;
        const char **at = cli_take(cap, sizeof(*at));
        if (texts->len)
            memcpy(at, texts->at, texts->len * sizeof(*at));
        texts->at = at;
        texts->cap = cap;
    }
    texts->at[texts->len++] = text;
}

static bool digits(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

bool cli_count(const char *text, uint64_t *ret)
{
    errno = 0;
    *ret = strtoull(text, NULL, 10);
    return digits(text) && !errno;
}

/* No blanks before it, and neither hexadecimal nor "nan", all of which strtod takes. */
bool cli_real(const char *text, double *ret)
{
    char *end;

    *ret = strtod(text, &end);
    return *text && !*end && !text[strspn(text, "+-.0123456789eE")] && isfinite(*ret);
}

static bool store_count(const struct option_row *row, const char *value)
{
    uint64_t most = row->kind == OPTION_COUNT32 ? UINT32_MAX : row->kind == OPTION_MS ? MS_MOST : UINT64_MAX, count;

    if (!digits(value)) {
        cli_fail("--%s is '%s', which is no whole number", row->name, value);
        return false;
    }
    if (!cli_count(value, &count) || count > most) {
        cli_fail("--%s is %s; it may be %llu at most", row->name, value, (unsigned long long)most);
        return false;
    }
    if (row->kind == OPTION_COUNT32)
        *(uint32_t *)row->target = (uint32_t)count;
    else
        *(uint64_t *)row->target = count;
    return true;
}

static bool store(const struct option_row *row, const char *value)
{
    switch (row->kind) {
    case OPTION_TEXT:
        *(const char **)row->target = value;
        return true;
    case OPTION_TEXTS:
        texts_add(row->target, value);
        return true;
    case OPTION_COUNT:
    case OPTION_COUNT32:
    case OPTION_MS:
        return store_count(row, value);
    case OPTION_REAL:
        if (cli_real(value, row->target))
            return true;
        cli_fail("--%s is '%s', which is no number", row->name, value);
        return false;
    case OPTION_FLAG:
        *(bool *)row->target = true;
        return true;
    }
    return false;
}

/* One argument that begins with a dash; *at moves past a value that stands on its own. */
static bool read_option(const struct usage *usage, const struct option_row *rows, int argc, char **argv, int *at)
{
    const char *text = argv[*at], *value = NULL;
    const struct option_row *row;

    if (text[1] == '-') {
        size_t len = strcspn(text + 2, "=");
        row = find(rows, text + 2, len);
        value = text[2 + len] ? text + 3 + len : NULL;
    } else {
        row = find_letter(rows, text[1]);
        value = text[2] ? text + 2 : NULL;
    }
    if (!row) {
        cli_fail("%s has no option '%s'; freshet %s --help lists them", usage->verb, text, usage->verb);
        return false;
    }
    if (row->kind == OPTION_FLAG) {
        if (value)
            cli_fail("--%s takes no value", row->name);
        return !value && store(row, NULL);
    }
    if (!value && ++*at < argc)
        value = argv[*at];
    if (!value) {
        cli_fail("--%s needs a value: %s", row->name, row->argument);
        return false;
    }
    return store(row, value);
}

int options_read(const struct usage *usage, const struct option_row *rows, int argc, char **argv, struct texts *rest)
{
    bool options = true;

    for (int at = 1; at < argc; at++) {
        const char *text = argv[at];
        if (options && (!strcmp(text, "--help") || !strcmp(text, "-h")))
            return explain(usage, rows);
        if (options && !strcmp(text, "--")) {
            options = false;
        } else if (options && text[0] == '-' && text[1]) {
            if (!read_option(usage, rows, argc, argv, &at))
                return CLI_USAGE;
        } else if (rest) {
            texts_add(rest, text);
        } else {
            cli_fail("%s takes no argument '%s'; freshet %s --help tells what it takes", usage->verb, text, usage->verb);
            return CLI_USAGE;
        }
    }
    return -1;
}
