/*
 * eval_scores.c -- learn one file, then score every line of another, in its context, whatever the user has had.
 *
 *     context     lines are choices and no choices, weight above 0 or not. Of FILE the choices are learned. auc, log_loss
 *
 *                 Of an item that no line of FILE has chosen a model has nothing to say. Where scores are odds, such a line has those of
 *                 the lines of FILE that were on an item not chosen before them in --order; elsewhere it stands behind all others
 *
 *     ratings     lines are ratings, as many as they weigh, and all are learned. rmse, mae
 *
 *     --passes N  FILE is learned N times: once in --order, then as eval_pass mixes it. The engine takes what comes again for events like
 *                 any others, so histories hold each item once all the same, its mean rating unchanged
 *
 * Ratings are foretold within the range of those in FILE; so a score beyond it is cut, as whoever shows it to people would.
 */
#include <math.h>
#include <stdlib.h>

#include "eval.h"

#include "freshet/alloc.h"

struct range {
    double low, high;
};

static struct range range_of(const struct eval_log *log)
{
    struct range range = {INFINITY, -INFINITY};

    for (size_t i = 0; i < log->len; i++) {
        range.low = fmin(range.low, log->events[i].weight);
        range.high = fmax(range.high, log->events[i].weight);
    }
    return range;
}

/* Log odds that a line on an item that was not chosen before is a choice; as if one had been and one had not, before there were any. */
static double newness_of(const struct eval_log *lines, size_t items)
{
    bool *chosen = fr_zalloc(items, sizeof(*chosen));
    double is = 1, is_not = 1;

    for (size_t i = 0; i < lines->len; i++) {
        const struct eval_event *event = &lines->events[i];
        bool choice = event->weight > 0;
        is += !chosen[event->item] && choice;
        is_not += !chosen[event->item] && !choice;
        chosen[event->item] = chosen[event->item] || choice;
    }
    free(chosen);
    return log(is / is_not);
}

static void judge(struct eval *eval, struct replay *replay, const char *model, struct labels *labels, struct errors *errors)
{
    bool ratings = replay_unit(replay, model) == SCORE_WEIGHT, odds = replay_unit(replay, model) == SCORE_LOG_ODDS;
    struct progress *progress = progress_new("scoring", eval->tests.len);
    struct range range = range_of(&eval->log);

    for (size_t t = 0; t < eval->tests.len; t++) {
        const struct eval_event *test = &eval->tests.events[t];
        replay_begin(replay);
        double score = replay_score(replay, model, test);
        if (labels)
            labels_add(labels, odds && isnan(score) ? eval->newness : score, test->weight > 0, odds);
        else if (ratings && !isnan(score))
            errors_add(errors, fmin(fmax(score, range.low), range.high), test->weight);
        replay_end(replay);
        progress_show(progress, t);
    }
    progress_end(progress, eval->tests.len);
}

static bool learn(struct eval *eval, struct replay *replay, uint64_t seed)
{
    struct progress *progress = progress_new("learning", eval->log.len * eval->passes);

    replay_learn(replay, eval->log.events, eval->log.len);
    for (uint64_t pass = 1; pass < eval->passes; pass++) {
        struct eval_event *events = eval_pass(&eval->log, seed, pass);
        replay_learn(replay, events, eval->log.len);
        free(events);
        progress_show(progress, eval->log.len * pass);
    }
    bool good = replay_refresh(replay);
    progress_end(progress, eval->log.len * eval->passes);
    return good;
}

static bool run(struct eval *eval, uint64_t seed, bool labelled, struct figures *ret_figures)
{
    struct replay replay;

    eval_sort(&eval->log, eval->users.len, eval->order, seed);
    if (!replay_open(&replay, eval))
        return false;
    bool good = learn(eval, &replay, seed);
    eval->outcomes = eval->tests.len;
    for (size_t m = 0; good && m < eval->models_len; m++) {
        struct labels labels = {0};
        struct errors errors = {0};
        judge(eval, &replay, eval->models[m], labelled ? &labels : NULL, &errors);
        ret_figures[m] = (struct figures){0};
        if (labelled)
            figures_add_labels(&ret_figures[m], &labels);
        else
            figures_add_errors(&ret_figures[m], &errors);
        free(labels.at);
    }
    replay_close(&replay);
    return good;
}

/* Events of the one kind to the front; how many. */
static size_t choices(struct eval_event *events, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++)
        if (events[i].weight > 0)
            events[kept++] = events[i];
    return kept;
}

bool eval_context(struct eval *eval, uint64_t seed, struct figures *ret_figures)
{
    size_t found = 0;

    if (!eval->outcomes) { /* the first run; what was chosen before goes by the order of learning, as all else does */
        eval_sort(&eval->log, eval->users.len, eval->order, seed);
        eval->newness = newness_of(&eval->log, eval->items.len);
        eval->log.len = choices(eval->log.events, eval->log.len);
    }
    for (size_t t = 0; t < eval->tests.len; t++)
        found += eval->tests.events[t].weight > 0;
    if (!eval->log.len || !found || found == eval->tests.len) {
        cli_fail("'%s' holds no choices, or '%s' not both choices and others: events of weight above 0, and not", eval->path, eval->test);
        return false;
    }
    return run(eval, seed, true, ret_figures);
}

bool eval_ratings(struct eval *eval, uint64_t seed, struct figures *ret_figures)
{
    return run(eval, seed, false, ret_figures);
}
