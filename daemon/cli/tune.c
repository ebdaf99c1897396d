/*
 * tune.c -- freshet tune: many configurations on a little of the past, the better half of them on more, until one is left; then whether
 * it is better at all on what came later, which no choice has looked at.
 *
 *     events   |---- warm ----|========= judged =========|~~~~~~~~~~ later ~~~~~~~~~~|
 *     round 1  trials 0 .. n-1, on a quarter              |
 *     round 2  the better half, on half                   |  trial 0 is the configuration as it is and stays to the end
 *     round 3  the better quarter, on all of it           |
 *     last     the best and trial 0 ----------------------> prequential figures of the later part
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"
#include "freshet/log.h"

enum { DIMENSIONS_MAX = 32, TRIALS_MAX = 10000, ROUNDS = 3, SETTING_ROOM = 200 };

struct trial {
    size_t number;
    char (*settings)[SETTING_ROOM]; /* by dimension; trial 0: none */
    double value;                   /* in the last round it was in */
};

struct tune {
    struct eval eval;
    const char *config, *model, *figure, *write;
    struct refusals refusals; /* by that of the two last replays that refused more */
    struct settings *present; /* of --config's file, as it was when the run began, and --set */
    struct texts sets, vary;
    struct dimension dimensions[DIMENSIONS_MAX];
    size_t dimensions_len;
    uint64_t trials;
    double part; /* of the events: to choose by */
    struct trial *trial;
};

static bool read_dimensions(struct tune *tune)
{
    const char *text;

    for (size_t i = 0; !tune->vary.len && (text = dimension_usual(tune->model, i)); i++)
        dimension_read(&tune->dimensions[tune->dimensions_len++], text);
    for (size_t i = 0; i < tune->vary.len; i++) {
        if (tune->dimensions_len == DIMENSIONS_MAX) {
            cli_fail("--vary is given more than %d times", DIMENSIONS_MAX);
            return false;
        }
        if (!dimension_read(&tune->dimensions[tune->dimensions_len++], tune->vary.at[i]))
            return false;
    }
    if (!tune->dimensions_len)
        cli_fail("there is nothing usual to vary of '%s'; say --vary", tune->model);
    return tune->dimensions_len;
}

static struct settings *settings_of(const struct tune *tune, const struct trial *trial)
{
    size_t len = tune->sets.len, more = trial->settings ? tune->dimensions_len : 0;
    const char **all = fr_alloc((len + more + 1) * sizeof(*all));
    char *problems;

    if (len)
        memcpy(all, tune->sets.at, len * sizeof(*all));
    for (size_t d = 0; d < more; d++)
        all[len + d] = trial->settings[d];
    struct settings *settings = settings_again(tune->present, all, len + more, &problems);
    if (!settings)
        fputs(problems, stderr);
    free(problems);
    free(all);
    return settings;
}

/* Each must be a configuration: not all between two good values need be good, and hours of replay should not end there. */
static bool draw_trials(struct tune *tune)
{
    tune->trial = cli_take(tune->trials, sizeof(*tune->trial));
    for (size_t t = 0; t < tune->trials; t++) {
        tune->trial[t] = (struct trial){.number = t};
        if (!t)
            continue;
        tune->trial[t].settings = cli_take(tune->dimensions_len, SETTING_ROOM);
        for (size_t d = 0; d < tune->dimensions_len; d++)
            dimension_pick(&tune->dimensions[d], eval_random(tune->eval.seed, t, d), tune->trial[t].settings[d], SETTING_ROOM);
        struct settings *settings = settings_of(tune, &tune->trial[t]);
        if (!settings) {
            cli_fail("trial %zu, which --vary leads to, is no configuration", t);
            return false;
        }
        settings_free(settings);
    }
    return true;
}

/*
 * Each must be one under which what is an event is one still. What the configuration as it is has no weight for was not loaded and is in
 * no trial: all are judged by the same events, those of positive weight by the configuration as it is.
 */
static bool can_weigh(struct tune *tune)
{
    bool good = true;

    for (size_t t = 1; good && t < tune->trials; t++) {
        struct settings *settings = settings_of(tune, &tune->trial[t]);
        good = settings && eval_weigh(&tune->eval.log, settings);
        settings_free(settings);
        if (!good)
            cli_fail("trial %zu, which --vary leads to, makes an event of '%s' weigh more than a million; vary weights.* less far", t,
                     tune->eval.path);
    }
    return good;
}

/* The figure over events [from, upto) of a replay of what is before them too. NULL: it failed, and has said why. */
static const struct figure *measure(struct tune *tune, struct figures *room, const struct trial *trial, size_t from, size_t upto)
{
    struct settings *settings = settings_of(tune, trial);
    bool good;

    if (!settings)
        return NULL;
    tune->eval.settings = settings;
    tune->eval.rank_from = from;
    tune->eval.upto = upto;
    good = eval_weigh(&tune->eval.log, settings) && eval_prequential(&tune->eval, tune->eval.seed, room); /* can_weigh: it can */
    settings_free(settings);
    for (size_t f = 0; good && f < room->len; f++)
        if (!strcmp(room->at[f].name, tune->figure))
            return &room->at[f];
    return NULL;
}

static int better_first(const void *a, const void *b)
{
    const struct trial *left = a, *right = b;
    double l = isnan(left->value) ? -INFINITY : left->value, r = isnan(right->value) ? -INFINITY : right->value;

    if (l != r)
        return l > r ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* The first `keep` of `len` sorted trials, trial 0 among them. */
static void keep_first(struct trial *trials, size_t len, size_t keep)
{
    for (size_t t = keep; t < len; t++)
        if (!trials[t].number) {
            struct trial as_it_is = trials[t];
            trials[t] = trials[keep - 1];
            trials[keep - 1] = as_it_is;
        }
}

/* Where a round ends; and where the events that only warm it up do. */
static size_t round_end(size_t judged, int round)
{
    return judged >> (ROUNDS - 1 - round);
}

static size_t warm_end(size_t upto)
{
    return upto / 5;
}

/* Is there an event to rank in the shortest round, and in the later part? */
static bool enough(const struct tune *tune, size_t judged)
{
    size_t first = round_end(judged, 0), later = tune->eval.log.len - judged;

    if (first - warm_end(first) >= tune->eval.every && later >= tune->eval.every)
        return true;
    cli_fail("'%s' has %zu events: round 1 of %d would rank %zu, the later part %zu, of which --every takes one in %llu", tune->eval.path,
             tune->eval.log.len, ROUNDS, first - warm_end(first), later, (unsigned long long)tune->eval.every);
    return false;
}

static bool halve(struct tune *tune, size_t judged)
{
    size_t len = tune->trials;

    for (int round = 0; round < ROUNDS; round++) {
        size_t upto = round_end(judged, round);
        for (size_t t = 0; t < len; t++) {
            struct figures figures = {0};
            char what[64];
            snprintf(what, sizeof(what), "round %d of %d, %zu of %zu", round + 1, ROUNDS, t + 1, len);
            tune->eval.progress = what;
            const struct figure *found = measure(tune, &figures, &tune->trial[t], warm_end(upto), upto);
            if (!found)
                return false;
            tune->trial[t].value = found->value;
        }
        qsort(tune->trial, len, sizeof(*tune->trial), better_first);
        size_t keep = round + 1 < ROUNDS && len > 3 ? (len + 1) / 2 : len;
        keep_first(tune->trial, len, keep);
        len = keep;
    }
    return true;
}

static const struct trial *as_it_is(const struct tune *tune)
{
    size_t t = 0;

    while (tune->trial[t].number)
        t++;
    return &tune->trial[t];
}

/* ---- what came of it ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool same_key(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");

    return strncmp(a, b, len + 1) == 0; /* with the = */
}

/* What the choice rests on: --set and the trial, of each key what came last; by key. ret_len of them, the caller frees. */
static const char **settings_in_force(const struct tune *tune, const struct trial *best, size_t *ret_len)
{
    size_t len = 0, kept = 0;
    const char **all = fr_alloc((tune->sets.len + tune->dimensions_len + 1) * sizeof(*all));

    for (size_t s = 0; s < tune->sets.len; s++)
        all[len++] = tune->sets.at[s];
    for (size_t d = 0; best->settings && d < tune->dimensions_len; d++)
        all[len++] = best->settings[d];
    for (size_t i = 0; i < len; i++) {
        size_t later = i + 1;
        while (later < len && !same_key(all[i], all[later]))
            later++;
        if (later == len)
            all[kept++] = all[i];
    }
    qsort(all, kept, sizeof(*all), by_text);
    *ret_len = kept;
    return all;
}

/* A file that freshetd --config reads. */
static void put_ini(const struct tune *tune, FILE *out, const struct trial *best, const struct figure *before,
                    const struct figure *after)
{
    const char *section = "", **settings;
    size_t len;

    fprintf(out, "# To be put into %s%s: holds --set's values and what was found, and nothing else.\n",
            tune->config ? "the configuration tuned, " : "the daemon's configuration", tune->config ? cli_shown(tune->config) : "");
    fprintf(out, "# freshet tune %s, %s of %s on the later part, which chose nothing: %.6f (+- %.4f); before: %.6f (+- %.4f)\n",
            cli_shown(tune->eval.path), tune->figure, tune->model, after->value, after->error, before->value, before->error);
    if (!best->settings)
        fprintf(out, "# No trial was better than the configuration as it is.\n");
    else if (!(after->value > before->value))
        fprintf(out, "# It was better on the earlier part and is not on the later one: stay with the configuration as it is.\n");
    for (size_t r = 0; r < tune->refusals.by_len; r++)
        if (tune->refusals.by[r].len)
            fprintf(out, "# %llu events were refused, and figures are of the rest: %s\n", (unsigned long long)tune->refusals.by[r].len,
                    tune->refusals.by[r].why);
    settings = settings_in_force(tune, best, &len);
    for (size_t s = 0; s < len; s++) {
        const char *dot = strchr(settings[s], '.'), *equals = strchr(settings[s], '=');
        size_t section_len = (size_t)(dot - settings[s]);
        if (strncmp(section, settings[s], section_len + 1) != 0)
            fprintf(out, "\n[%.*s]\n", (int)section_len, settings[s]);
        section = settings[s];
        fprintf(out, "%.*s = %s\n", (int)(equals - dot - 1), dot + 1, equals + 1);
    }
    free(settings);
}

static int put_json(const struct tune *tune, const struct trial *best, const struct figure *before, const struct figure *after)
{
    json_t *settings = json_object();
    size_t len;
    const char **all = settings_in_force(tune, best, &len);

    for (size_t s = 0; s < len; s++) {
        size_t key_len = strcspn(all[s], "=");
        json_object_setn_new(settings, all[s], key_len, json_string(all[s] + key_len + 1));
    }
    free(all);
    json_t *document = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "file", tune->eval.path, "model", tune->model, "figure",
                                 tune->figure, "trials", (json_int_t)tune->trials, "refused",
                                 (json_int_t)tune->refusals.len, "refusals", json_refusals(&tune->refusals), "settings", settings, "before", json_number(before->value),
                                 "after", json_number(after->value));
    return json_put(document);
}

/* What was found is said before it is written: hours of replay should not end with a full disk. */
static int say(const struct tune *tune, const struct trial *best, const struct figure *was, const struct figure *is)
{
    char *text = NULL;
    size_t len = 0;
    FILE *ini = open_memstream(&text, &len);
    int status = CLI_DONE;

    if (!ini || (put_ini(tune, ini, best, was, is), fclose(ini)) != 0) {
        free(text);
        return cli_fail("no memory for what was found");
    }
    if (!strcmp(tune->eval.output, "json"))
        status = put_json(tune, best, was, is);
    else
        fwrite(text, 1, len, stdout);
    fflush(stdout); /* main looks at whether it could */
    cli_wrote();
    if (tune->write && !tune_write(tune->write, text, len))
        status = CLI_FAILED;
    free(text);
    return status;
}

static int finish(struct tune *tune, size_t judged)
{
    struct figures before = {0}, after = {0};
    const struct trial *best = &tune->trial[0], *old = as_it_is(tune);

    tune->eval.progress = "later part, as it is";
    const struct figure *was = measure(tune, &before, old, judged, tune->eval.log.len);
    tune->refusals = tune->eval.refusals;
    tune->eval.progress = "later part, the best";
    const struct figure *is = was ? measure(tune, &after, best, judged, tune->eval.log.len) : NULL;
    if (tune->eval.refusals.len > tune->refusals.len)
        tune->refusals = tune->eval.refusals;
    return is ? say(tune, best, was, is) : CLI_FAILED;
}

/* A file that is read must not be written over; and where none can be written is found out before hours of replay. */
static int look_at_write(const struct tune *tune)
{
    bool is_config = tune->config && tune_write_is(tune->write, tune->config);

    if (is_config || (strcmp(tune->eval.path, "-") != 0 && tune_write_is(tune->write, tune->eval.path))) {
        cli_fail(is_config ? "--write '%s' is --config's file, which says more than is written; name another"
                           : "--write '%s' is the file of events; name another", tune->write);
        return CLI_USAGE;
    }
    return tune_write_can(tune->write) ? CLI_DONE : CLI_FAILED;
}

static int run(struct tune *tune)
{
    struct eval *eval = &tune->eval;
    int status = CLI_FAILED, place;
    char *problems;

    tune->present = settings_new(tune->config, tune->sets.at, tune->sets.len, tune->model, &problems);
    if (!tune->present) {
        fputs(problems, stderr);
        free(problems);
        return CLI_USAGE;
    }
    fr_log_setup(FR_ERROR, FR_LOG_AUTO);
    if (!draw_trials(tune))
        status = CLI_USAGE;
    else if (tune->write && (place = look_at_write(tune)) != CLI_DONE)
        status = place;
    else if (eval_load(&eval->log, &eval->users, &eval->items, eval->path, eval->format, tune->present)) {
        size_t judged = (size_t)(tune->part * (double)eval->log.len);
        if (!can_weigh(tune))
            status = CLI_USAGE;
        else if (enough(tune, judged) && halve(tune, judged))
            status = finish(tune, judged);
    }
    settings_free(tune->present);
    eval_log_release(&eval->log);
    names_release(&eval->users);
    names_release(&eval->items);
    return status;
}

/* The figure to tune by: one that is told, and says something of the model. */
static bool read_figure(struct tune *tune)
{
    if (!tune->figure) {
        char *name = cli_take(FIGURE_NAME, 1);
        snprintf(name, FIGURE_NAME, "ndcg@%u", (uint32_t)tune->eval.k);
        tune->figure = name;
    }
    tune->eval.no_coverage = strncmp(tune->figure, "coverage@", 9) != 0;
    if (eval_prequential_has(&tune->eval, tune->figure) && strcmp(tune->figure, "new_items") != 0)
        return true;
    cli_fail("--figure is '%s'; with -k %llu it may be hit_rate@%llu, ndcg@%llu or mrr@%llu, each with .cold, .head or .tail, or coverage@%llu",
             tune->figure, (unsigned long long)tune->eval.k, (unsigned long long)tune->eval.k, (unsigned long long)tune->eval.k,
             (unsigned long long)tune->eval.k, (unsigned long long)tune->eval.k);
    return false;
}

static const char *nonsense(const struct tune *tune)
{
    if (strchr(tune->model, ','))
        return "--model is one model";
    if (tune->trials < 2 || tune->trials > TRIALS_MAX)
        return "--trials goes from 2 to 10000";
    if (!(tune->part > 0 && tune->part < 1))
        return "--part lies between 0 and 1";
    if (!tune->eval.k || tune->eval.k > EVAL_K_MAX || !tune->eval.every || !tune->eval.refresh)
        return "-k goes from 1 to 100000, --every and --refresh from 1";
    if (strcmp(tune->eval.output, "table") != 0 && strcmp(tune->eval.output, "json") != 0)
        return "--output may be table or json";
    return NULL;
}

/* What a document would hold is text. */
static bool can_be_told(const struct tune *tune)
{
    bool good = strcmp(tune->eval.output, "json") != 0 || json_holds("FILE", tune->eval.path);

    for (size_t s = 0; good && !strcmp(tune->eval.output, "json") && s < tune->sets.len; s++)
        good = json_holds("--set", tune->sets.at[s]);
    return good;
}

int verb_tune(int argc, char **argv)
{
    static const struct usage usage = {
        "tune", "FILE [OPTION]...",
        "Looks for a better configuration: random trials, each replayed through the engine as eval does, on the earlier part of FILE,\n"
        "the better half on twice as much, and so on. Prints the best, with what it and the present configuration reach on the later\n"
        "part: --set's values and what was found, to go beside what --config's file says.",
        "freshet tune u.data --format movielens --model sar --trials 32 --every 4 --write sar.conf"};
    static struct tune tune = {.eval = {.format = "jsonl", .protocol = "prequential", .output = "table", .k = 10, .every = 1,
                                        .refresh = 2000, .seed = 1, .seeds = 1},
                               .model = "sar", .trials = 16, .part = 0.7};
    struct texts files = {0};
    const char *server;
    const struct option_row rows[] = {
        {"format", 'f', OPTION_TEXT, &tune.eval.format, "NAME", "as eval's (default jsonl)"},
        {"model", 'm', OPTION_TEXT, &tune.model, "NAME", "which one's figure counts (default sar)"},
        {"vary", 'v', OPTION_TEXTS, &tune.vary, "KEY=RANGE", "section.key=LOW..HIGH, whole where the key is, or =A|B; may be repeated (default: the usual ones)"},
        {"trials", 'n', OPTION_COUNT, &tune.trials, "N", "configurations, the present one among them (default 16)"},
        {"figure", 0, OPTION_TEXT, &tune.figure, "NAME", "of eval's prequential figures (default ndcg@K)"},
        {"part", 0, OPTION_REAL, &tune.part, "X", "of the events to choose by; the rest is the later part (default 0.7)"},
        {"config", 'c', OPTION_TEXT, &tune.config, "FILE", "the present configuration"},
        {"set", 0, OPTION_TEXTS, &tune.sets, "SECTION.KEY=VALUE", "over it; may be repeated"},
        {"k", 'k', OPTION_COUNT, &tune.eval.k, "N", "length of a list (default 10)"},
        {"every", 0, OPTION_COUNT, &tune.eval.every, "N", "rank one event in so many (default 1)"},
        {"refresh", 0, OPTION_COUNT, &tune.eval.refresh, "N", "solve EASE anew after so many events (default 2000)"},
        {"order", 0, OPTION_TEXT, &tune.eval.order_name, "NAME", "of events: time, file or mixed (default as eval's)"},
        {"seed", 0, OPTION_COUNT, &tune.eval.seed, "N", "of the trials (default 1)"},
        {"write", 'w', OPTION_TEXT, &tune.write, "FILE", "also writes that there: not all of a configuration, it goes beside --config's file"},
        {"output", 'o', OPTION_TEXT, &tune.eval.output, "table|json", "a configuration file, or one JSON document (default table)"},
        UNASKED_ROW("server", server),
        {0},
    };
    int status = options_read(&usage, rows, argc, argv, &files);
    const char *wrong;

    if (status >= 0)
        return status;
    if (files.len != 1) {
        cli_fail("tune needs one FILE, or - for standard input");
        return CLI_USAGE;
    }
    tune.eval.path = files.at[0];
    tune.eval.models[0] = tune.model;
    tune.eval.models_len = 1;
    if (!eval_read_order(&tune.eval) || !read_dimensions(&tune))
        return CLI_USAGE;
    if ((wrong = nonsense(&tune))) {
        cli_fail("%s", wrong);
        return CLI_USAGE;
    }
    if (!read_figure(&tune) || !can_be_told(&tune))
        return CLI_USAGE;
    return run(&tune);
}
