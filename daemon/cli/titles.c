/*
 * titles.c -- a file of item<TAB>title lines, sorted once, searched by id.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/alloc.h"

struct titles {
    struct title {
        char *item, *text;
    } *at;
    size_t len, cap;
};

static int by_item(const void *a, const void *b)
{
    return strcmp(((const struct title *)a)->item, ((const struct title *)b)->item);
}

int titles_open(struct titles **ret, const char *path)
{
    struct lines lines = {.name = path, .most = LINE_MOST};

    *ret = NULL;
    if (!path)
        return CLI_DONE;
    lines.file = fopen(path, "r");
    if (!lines.file)
        return cli_fail("cannot open '%s': %s", path, strerror(errno));
    struct titles *titles = fr_zalloc(1, sizeof(*titles));
    while (lines_next(&lines)) {
        if (!lines_whole(&lines)) {
            cli_fail("%s:%llu %s", path, (unsigned long long)lines.number, LINE_NOT_WHOLE);
            lines.failed = true;
            break;
        }
        char *tab = strchr(lines.at, '\t');
        if (!tab)
            continue;
        *tab = '\0';
        fr_reserve((void **)&titles->at, &titles->cap, titles->len + 1, sizeof(*titles->at));
        titles->at[titles->len++] = (struct title){fr_strdup(lines.at), fr_strdup(tab + 1)};
    }
    lines_release(&lines);
    fclose(lines.file);
    if (lines.failed) {
        titles_close(titles);
        return CLI_FAILED;
    }
    if (titles->len)
        qsort(titles->at, titles->len, sizeof(*titles->at), by_item);
    *ret = titles;
    return CLI_DONE;
}

const char *titles_find(const struct titles *titles, struct fr_bytes item)
{
    char id[FR_ID_BYTES_MAX + 1];
    struct title key = {.item = id};

    if (!titles || !titles->len || item.len > FR_ID_BYTES_MAX)
        return NULL;
    memcpy(id, item.at, item.len);
    id[item.len] = '\0';
    const struct title *found = bsearch(&key, titles->at, titles->len, sizeof(*titles->at), by_item);
    return found ? found->text : NULL;
}

void titles_close(struct titles *titles)
{
    if (!titles)
        return;
    for (size_t i = 0; i < titles->len; i++) {
        free(titles->at[i].item);
        free(titles->at[i].text);
    }
    free(titles->at);
    free(titles);
}
