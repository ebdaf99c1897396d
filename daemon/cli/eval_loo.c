/*
 * eval_loo.c -- leave one out: each user's last event is kept back, the others are learned in one pass, and the item of the one kept
 * back is ranked: among all the user has not had, and, where that is asked for, among a few of them only (.sampled).
 *
 *     --negatives FILE     user<TAB>item<TAB>negative<TAB>negative ...      names what is kept back, and whom it competes with
 *                          (user,item)<TAB>negative ...                      the same, as the NCF paper's authors write it
 *     --sampled N          N items the user has not had, each as likely as any other
 *
 * What nobody has in the part that is learned ranks behind all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"

struct rivals { /* of one user */
    struct fr_bytes *at;
    size_t len;
};

/* ---- what is kept back ---- */

static void keep_back(struct eval *eval, const size_t *kept /* by user: index of the event; SIZE_MAX: none */)
{
    struct eval_log *log = &eval->log, *tests = &eval->tests;
    uint32_t *target = fr_alloc((eval->users.len + 1) * sizeof(*target));
    size_t len = 0;

    for (size_t u = 0; u < eval->users.len; u++)
        target[u] = kept[u] == SIZE_MAX ? NAME_NONE : log->events[kept[u]].item;
    for (size_t i = 0; i < log->len; i++) {
        struct eval_event event = log->events[i];
        if (kept[event.user] == i) {
            fr_reserve((void **)&tests->events, &tests->cap, tests->len + 1, sizeof(event));
            tests->events[tests->len++] = event;
        } else if (target[event.user] != event.item) {
            log->events[len++] = event;
        }
    }
    log->len = len;
    free(target);
}

/* The last event of each user; where that is on an item the user had before, it is no test and stays. */
static void keep_last(struct eval *eval, size_t *kept)
{
    struct eval_seen seen;

    eval_seen_init(&seen, &eval->log, eval->users.len);
    for (size_t i = 0; i < eval->log.len; i++)
        kept[eval->log.events[i].user] = i;
    for (size_t u = 0; u < eval->users.len; u++)
        if (kept[u] != SIZE_MAX && !(seen.first[kept[u]] && seen.begin[u + 1] - seen.begin[u] > 1)) {
            kept[u] = SIZE_MAX;
            eval->left_out++;
        }
    eval_seen_release(&seen);
}

static bool read_rivals(struct eval *eval, char *line, struct rivals *rivals, uint32_t *wanted)
{
    static const char blanks[] = "\t\r\n";
    char *at = NULL, *user = strtok_r(line, blanks, &at), *item, *rival, *comma;
    size_t cap = 0;

    if (!user)
        return true;
    if (*user == '(' && (comma = strchr(user, ',')) && comma[strlen(comma) - 1] == ')') {
        comma[strlen(comma) - 1] = '\0';
        *comma = '\0';
        user++;
        item = comma + 1;
    } else if (!(item = strtok_r(NULL, blanks, &at))) {
        return false;
    }
    uint32_t number = names_find(&eval->users, fr_bytes_of(user)), target = names_find(&eval->items, fr_bytes_of(item));
    if (number == NAME_NONE || target == NAME_NONE) {
        eval->left_out++;
        return true;
    }
    wanted[number] = target;
    rivals[number].len = 0;
    while ((rival = strtok_r(NULL, blanks, &at))) {
        uint32_t name = names_find(&eval->items, fr_bytes_of(rival));
        if (name == NAME_NONE)
            continue; /* nobody has it: behind all */
        fr_reserve((void **)&rivals[number].at, &cap, rivals[number].len + 1, sizeof(*rivals[number].at));
        rivals[number].at[rivals[number].len++] = eval->items.ids[name];
    }
    return true;
}

static bool read_negatives(struct eval *eval, struct rivals *rivals, uint32_t *wanted)
{
    struct lines lines = {.file = fopen(eval->negatives, "r"), .name = eval->negatives, .most = LINE_MOST_LONG};
    const char *problem = NULL;

    if (!lines.file) {
        cli_fail("cannot read '%s': %s", eval->negatives, strerror(errno));
        return false;
    }
    while (!problem && lines_next(&lines)) {
        if (!lines_whole(&lines))
            problem = LINE_NOT_WHOLE;
        else if (!read_rivals(eval, lines.at, rivals, wanted))
            problem = "is not user, item and negatives between tabs";
    }
    if (problem)
        cli_fail("%s:%llu %s", eval->negatives, (unsigned long long)lines.number, problem);
    fclose(lines.file);
    lines_release(&lines);
    return !problem && !lines.failed;
}

/* The user's last event with the item the file names. */
static void keep_named(struct eval *eval, size_t *kept, const uint32_t *wanted)
{
    for (size_t i = 0; i < eval->log.len; i++)
        if (wanted[eval->log.events[i].user] == eval->log.events[i].item)
            kept[eval->log.events[i].user] = i;
    for (size_t u = 0; u < eval->users.len; u++)
        eval->left_out += wanted[u] != NAME_NONE && kept[u] == SIZE_MAX;
}

static bool split(struct eval *eval, struct rivals *rivals)
{
    size_t *kept = fr_alloc((eval->users.len + 1) * sizeof(*kept));
    uint32_t *wanted = fr_alloc((eval->users.len + 1) * sizeof(*wanted));
    bool good = true;

    memset(kept, 0xFF, (eval->users.len + 1) * sizeof(*kept));
    memset(wanted, 0xFF, (eval->users.len + 1) * sizeof(*wanted));
    eval->left_out = 0;
    if (eval->negatives)
        good = read_negatives(eval, rivals, wanted);
    if (eval->negatives)
        keep_named(eval, kept, wanted);
    else
        keep_last(eval, kept);
    if (good)
        keep_back(eval, kept);
    free(kept);
    free(wanted);
    return good;
}

/* ---- the negatives ---- */

/* `drawn`: by item, the test it was last drawn for, from 1. */
static void draw(struct eval *eval, const struct eval_seen *seen, uint64_t seed, uint32_t user, uint32_t target, size_t *drawn,
                 size_t test, struct rivals *rivals)
{
    size_t unseen = eval->items.len - (seen->begin[user + 1] - seen->begin[user]) - 1;
    size_t want = eval->sampled < unseen ? eval->sampled : unseen;

    free(rivals->at);
    rivals->at = fr_alloc((want + 1) * sizeof(*rivals->at));
    rivals->len = 0;
    for (uint64_t n = 0; rivals->len < want; n++) {
        uint32_t item = (uint32_t)(eval_random(seed, 1 + (uint64_t)user, n) % eval->items.len);
        if (item == target || drawn[item] == test || eval_seen_has(seen, user, item))
            continue;
        drawn[item] = test;
        rivals->at[rivals->len++] = eval->items.ids[item];
    }
}

/* ---- a run ---- */

static void rank_all(struct eval *eval, struct replay *replay, const struct eval_seen *seen, uint64_t seed, struct rivals *rivals,
                     struct standing *full, struct standing *sampled)
{
    struct progress *progress = progress_new("ranking", eval->tests.len);
    size_t *drawn = fr_zalloc(eval->items.len, sizeof(*drawn));

    for (size_t t = 0; t < eval->tests.len; t++) {
        const struct eval_event *test = &eval->tests.events[t];
        struct rivals *mine = &rivals[test->user];
        if (eval->sampled)
            draw(eval, seen, seed, test->user, test->item, drawn, t + 1, mine);
        struct fr_bytes *among = fr_alloc((mine->len + 1) * sizeof(*among));
        if (mine->len)
            memcpy(among, mine->at, mine->len * sizeof(*among));
        among[mine->len] = eval->items.ids[test->item];
        replay_begin(replay);
        for (size_t m = 0; m < eval->models_len; m++) {
            struct rank rank = replay_rank(replay, eval->models[m], test, NULL, 0);
            standing_add(&full[m], &rank, (uint32_t)eval->k);
            if (!eval->negatives && !eval->sampled)
                continue;
            rank = replay_rank(replay, eval->models[m], test, among, mine->len + 1);
            standing_add(&sampled[m], &rank, (uint32_t)eval->k);
        }
        replay_end(replay);
        free(among);
        progress_show(progress, t);
    }
    progress_end(progress, eval->tests.len);
    free(drawn);
    eval->outcomes = eval->tests.len;
}

static void tell(struct eval *eval, struct replay *replay, const struct standing *full, const struct standing *sampled,
                 struct figures *ret_figures)
{
    bool *tested = fr_zalloc(eval->users.len + 1, sizeof(*tested));
    char name[FIGURE_NAME];

    for (size_t t = 0; t < eval->tests.len; t++)
        tested[eval->tests.events[t].user] = true;
    snprintf(name, sizeof(name), "coverage@%u", (uint32_t)eval->k);
    for (size_t m = 0; m < eval->models_len; m++) {
        ret_figures[m] = (struct figures){0};
        figures_add_standing(&ret_figures[m], &full[m], (uint32_t)eval->k, "");
        if (sampled[m].hit.len)
            figures_add_standing(&ret_figures[m], &sampled[m], (uint32_t)eval->k, ".sampled");
        figures_add_value(&ret_figures[m], name, eval->tests.len,
                          replay_coverage(replay, eval->models[m], (uint32_t)eval->k, tested));
    }
    free(tested);
}

static bool run(struct eval *eval, uint64_t seed, struct rivals *rivals, struct figures *ret_figures)
{
    struct standing *full = fr_zalloc(eval->models_len, sizeof(*full)), *sampled = fr_zalloc(eval->models_len, sizeof(*sampled));
    struct progress *progress;
    struct eval_seen seen;
    struct replay replay;
    bool good = replay_open(&replay, eval);

    eval_sort(&eval->log, eval->users.len, eval->order, seed);
    eval_seen_init(&seen, &eval->log, eval->users.len);
    if (good) {
        progress = progress_new("learning", eval->log.len);
        replay_learn(&replay, eval->log.events, eval->log.len);
        good = replay_refresh(&replay);
        progress_end(progress, eval->log.len);
        if (good)
            rank_all(eval, &replay, &seen, seed, rivals, full, sampled);
        if (good)
            tell(eval, &replay, full, sampled, ret_figures);
        replay_close(&replay);
    }
    eval_seen_release(&seen);
    free(full);
    free(sampled);
    return good;
}

bool eval_loo(struct eval *eval, uint64_t seed, struct figures *ret_figures)
{
    static struct rivals *rivals; /* what is kept back is so for all runs, and so is whom a file names */

    if (eval->sampled > eval->items.len) {
        cli_fail("--sampled is %llu; '%s' has %zu items", (unsigned long long)eval->sampled, eval->path, eval->items.len);
        return false;
    }
    if (!eval->tests.len) {
        rivals = cli_take(eval->users.len + 1, sizeof(*rivals));
        eval_sort(&eval->log, eval->users.len, eval->order == ORDER_TIME ? ORDER_TIME : ORDER_FILE, seed);
        if (!split(eval, rivals))
            return false;
        if (!eval->tests.len) {
            cli_fail("no user has an event to keep back and another to learn");
            return false;
        }
    }
    return run(eval, seed, rivals, ret_figures);
}
