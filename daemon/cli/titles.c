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
    char *line = NULL;
    size_t room = 0;
    FILE *file;

    *ret = NULL;
    if (!path)
        return CLI_DONE;
    file = fopen(path, "r");
    if (!file)
        return cli_fail("cannot open '%s': %s", path, strerror(errno));
    struct titles *titles = fr_zalloc(1, sizeof(*titles));
    while (getline(&line, &room, file) >= 0) {
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\r\n")] = '\0';
        fr_reserve((void **)&titles->at, &titles->cap, titles->len + 1, sizeof(*titles->at));
        titles->at[titles->len++] = (struct title){fr_strdup(line), fr_strdup(tab + 1)};
    }
    int error = ferror(file) ? errno : 0;
    free(line);
    fclose(file);
    if (error) {
        titles_close(titles);
        return cli_fail("cannot read '%s': %s", path, strerror(error));
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
