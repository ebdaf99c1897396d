/*
 * table.c -- aligned columns: two blanks apart, numbers to the right, titles bold on a terminal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/alloc.h"

struct table {
    size_t columns, rows, cap;
    const char *const *titles;
    const int *align;
    size_t *width;
    char **cells; /* rows * columns */
};

size_t table_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

struct table *table_new(size_t columns, const char *const *titles, const int *align)
{
    struct table *table = fr_zalloc(1, sizeof(*table));

    table->columns = columns;
    table->titles = titles;
    table->align = align;
    table->width = fr_zalloc(columns, sizeof(*table->width));
    for (size_t c = 0; c < columns; c++)
        table->width[c] = table_width(titles[c]);
    return table;
}

void table_add(struct table *table, const char *const *cells)
{
    size_t len = table->rows * table->columns;

    fr_reserve((void **)&table->cells, &table->cap, len + table->columns, sizeof(*table->cells));
    for (size_t c = 0; c < table->columns; c++) {
        size_t width = table_width(cells[c]);
        table->cells[len + c] = fr_strdup(cells[c]);
        if (width > table->width[c])
            table->width[c] = width;
    }
    table->rows++;
}

static void print_row(const struct table *table, const char *const *cells)
{
    for (size_t c = 0; c < table->columns; c++) {
        int pad = (int)(table->width[c] - table_width(cells[c]));
        bool last = c + 1 == table->columns;
        if (table->align[c] == TABLE_RIGHT)
            printf("%*s%s", pad, "", cells[c]);
        else
            printf("%s%*s", cells[c], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", stdout);
    }
}

void table_print(const struct table *table)
{
    if (cli_terminal())
        fputs("\033[1m", stdout);
    print_row(table, table->titles);
    if (cli_terminal())
        fputs("\033[0m", stdout);
    for (size_t r = 0; r < table->rows; r++)
        print_row(table, (const char *const *)table->cells + r * table->columns);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table->width);
    free(table);
}
