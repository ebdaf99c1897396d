/*
 * table.c -- aligned columns: two blanks apart, numbers to the right with their points under each other, titles bold on a terminal. Control characters are shown, not obeyed.
 */
#include <math.h>
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

size_t cli_control_len(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;

    if ((first && first < 0x20) || first == 0x7F)
        return 1;
    return first == 0xC2 && second >= 0x80 && second < 0xA0 ? 2 : 0;
}

char *cli_printable(const char *text)
{
    char *copy = fr_alloc(4 * strlen(text) + 1), *at = copy;

    while (*text) {
        size_t len = cli_control_len(text);
        if (len)
            at += sprintf(at, "\\x%02X", (unsigned)(unsigned char)text[len - 1]);
        else
            *at++ = *text;
        text += len ? len : 1;
    }
    *at = '\0';
    return copy;
}

const char *cli_shown(const char *text)
{
    char *copy = cli_printable(text), *kept = strcpy(cli_take(strlen(copy) + 1, 1), copy);

    free(copy);
    return kept;
}

void table_add(struct table *table, const char *const *cells)
{
    size_t len = table->rows * table->columns;

    fr_reserve((void **)&table->cells, &table->cap, len + table->columns, sizeof(*table->cells));
    for (size_t c = 0; c < table->columns; c++) {
        table->cells[len + c] = cli_printable(cells[c]);
        size_t width = table_width(table->cells[len + c]);
        if (width > table->width[c])
            table->width[c] = width;
    }
    table->rows++;
}

/* ---- columns of numbers ---- */

/* That of ten in `value`, rounded to six digits. */
static int exponent_of(double value)
{
    char text[TABLE_NUMBER];

    snprintf(text, sizeof(text), "%.5e", value);
    return atoi(strchr(text, 'e') + 1);
}

/* How many there are in the end of a number with a point. */
static int zeros_behind(const char *text)
{
    int zeros = 0;

    for (const char *at = text + strlen(text); at > text && at[-1] == '0'; at--)
        zeros++;
    return zeros;
}

char (*table_numbers(const double *values, size_t len, bool sign))[TABLE_NUMBER]
{
    enum { DIGITS = 6, SMALLEST = -4, LARGEST = 14 /* powers of ten: what is beyond is written with one, all of a column */ };
    char (*cells)[TABLE_NUMBER] = fr_zalloc(len ? len : 1, sizeof(*cells));
    double largest = 0;

    for (size_t i = 0; i < len; i++)
        if (isfinite(values[i]) && fabs(values[i]) > largest)
            largest = fabs(values[i]);
    int power = exponent_of(largest), decimals = power < DIGITS - 1 ? DIGITS - 1 - power : 0, zeros = decimals;
    if (power < SMALLEST || power > LARGEST) {
        for (size_t i = 0; i < len; i++)
            snprintf(cells[i], sizeof(*cells), sign ? "%+.*e" : "%.*e", DIGITS - 1, values[i]);
        return cells;
    }
    for (size_t i = 0; i < len && zeros; i++) {
        snprintf(cells[i], sizeof(*cells), "%.*f", decimals, values[i]);
        int behind = isfinite(values[i]) ? zeros_behind(cells[i]) : zeros;
        zeros = behind < zeros ? behind : zeros;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(cells[i], sizeof(*cells), sign ? "%+.*f" : "%.*f", decimals - zeros, values[i]);
    return cells;
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
    cli_wrote(); /* what may be above it */
    bool terminal = cli_terminal(stdout);

    if (terminal)
        fputs("\033[1m", stdout);
    print_row(table, table->titles);
    if (terminal)
        fputs("\033[0m", stdout);
    for (size_t r = 0; r < table->rows; r++)
        print_row(table, (const char *const *)table->cells + r * table->columns);
    cli_wrote();
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
