/*
 * eval_report.c -- figures for people (a table, models side by side) and for programs (one JSON document).
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"

static void cell_of(const struct figure *figure, char *room, size_t room_len)
{
    if (isnan(figure->value))
        snprintf(room, room_len, "-");
    else if (isnan(figure->error))
        snprintf(room, room_len, "%.6f", figure->value);
    else
        snprintf(room, room_len, "%.6f \302\261 %.4f", figure->value, figure->error);
}

static const char *outcomes_are(const struct eval *eval)
{
    if (!strcmp(eval->protocol, "prequential"))
        return "ranked";
    return !strcmp(eval->protocol, "context") || !strcmp(eval->protocol, "ratings") ? "scored" : "users tested";
}

static void print_table(const struct eval *eval, const struct figures *figures)
{
    const char *titles[EVAL_MODELS_MAX + 2] = {"figure", "over"};
    int align[EVAL_MODELS_MAX + 2] = {TABLE_LEFT, TABLE_RIGHT};
    uint64_t bad = eval->log.bad + eval->tests.bad;
    struct table *table;

    printf("%s of %s: %zu events, %zu users, %zu items; %llu %s\n", eval->protocol, cli_shown(eval->path), eval->log.len, eval->users.len,
           eval->items.len, (unsigned long long)eval->outcomes, outcomes_are(eval));
    if (bad || eval->left_out)
        printf("%llu lines could not be read, %llu users left out\n", (unsigned long long)bad,
               (unsigned long long)eval->left_out);
    for (size_t r = 0; r < eval->refusals.by_len; r++)
        if (eval->refusals.by[r].len)
            printf("%llu refused, and figures are of the rest: %s\n", (unsigned long long)eval->refusals.by[r].len,
                   eval->refusals.by[r].why);
    printf("\302\261 is %s\n\n", eval->seeds > 1 ? "the standard deviation between seeds" : "one standard error");
    for (size_t m = 0; m < eval->models_len; m++) {
        titles[m + 2] = eval->models[m];
        align[m + 2] = TABLE_RIGHT;
    }
    table = table_new(eval->models_len + 2, titles, align);
    for (size_t f = 0; f < figures[0].len; f++) {
        char rooms[EVAL_MODELS_MAX][64], over[24];
        const char *cells[EVAL_MODELS_MAX + 2] = {figures[0].at[f].name, over};
        snprintf(over, sizeof(over), "%llu", (unsigned long long)figures[0].at[f].over);
        for (size_t m = 0; m < eval->models_len; m++) {
            cell_of(&figures[m].at[f], rooms[m], sizeof(rooms[m]));
            cells[m + 2] = rooms[m];
        }
        table_add(table, cells);
    }
    table_print(table);
    table_free(table);
}

static json_t *json_figures(const struct figures *figures)
{
    json_t *all = json_object();

    for (size_t f = 0; f < figures->len; f++) {
        const struct figure *figure = &figures->at[f];
        json_object_set_new(all, figure->name,
                            json_pack("{s:o, s:o, s:I}", "value", json_number(figure->value), "error", json_number(figure->error),
                                      "over", (json_int_t)figure->over));
    }
    return all;
}

json_t *json_refusals(const struct refusals *refusals)
{
    json_t *all = json_object();

    for (size_t r = 0; r < refusals->by_len; r++)
        if (refusals->by[r].len)
            json_object_set_new(all, refusals->by[r].why, json_integer((json_int_t)refusals->by[r].len));
    return all;
}

static int print_json(const struct eval *eval, const struct figures *figures)
{
    json_t *models = json_object(), *document;

    for (size_t m = 0; m < eval->models_len; m++)
        json_object_set_new(models, eval->models[m], json_figures(&figures[m]));
    document = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:o}", "protocol", eval->protocol,
                         "file", eval->path, "order", eval->order_name, "events", (json_int_t)eval->log.len, "users", (json_int_t)eval->users.len,
                         "items", (json_int_t)eval->items.len, "outcomes", (json_int_t)eval->outcomes, "badLines",
                         (json_int_t)(eval->log.bad + eval->tests.bad), "leftOut", (json_int_t)eval->left_out, "refused",
                         (json_int_t)eval->refusals.len, "refusals", json_refusals(&eval->refusals), "k", (json_int_t)eval->k,
                         "passes", (json_int_t)eval->passes, "seed", (json_int_t)eval->seed, "seeds", (json_int_t)eval->seeds, "models", models);
    return json_put(document);
}

int eval_report(const struct eval *eval, const struct figures *figures)
{
    if (!strcmp(eval->output, "json"))
        return print_json(eval, figures);
    print_table(eval, figures);
    return CLI_DONE;
}
