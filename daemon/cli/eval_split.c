/*
 * eval_split.c -- learn one file, recommend to every user of another, and see what of it they took: the figures of the benchmark of
 * Microsoft's recommenders, to the digit (ops/docs/evaluation.md has the definitions).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eval.h"

#include "freshet/alloc.h"

struct dump {
    FILE *file; /* NULL: none was asked for */
    const char *path;
};

static bool dump_open(struct dump *dump, const char *path)
{
    *dump = (struct dump){.path = path};
    if (!path)
        return true;
    dump->file = fopen(path, "w");
    if (!dump->file)
        cli_fail("cannot write '%s': %s", path, strerror(errno));
    else
        fputs(DUMP_HEADER, dump->file);
    return dump->file;
}

static bool dump_close(struct dump *dump)
{
    bool good = !dump->file || !ferror(dump->file);

    if (dump->file && (fclose(dump->file) || !good)) {
        cli_fail("cannot write '%s': %s", dump->path, strerror(errno));
        return false;
    }
    return good;
}

bool eval_dump_can(const char *path)
{
    struct stat facts;
    FILE *file;

    if (stat(path, &facts) == 0 && !S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode))
        return true; /* who reads a pipe would take that for its end */
    file = fopen(path, "a"); /* what is there stays until there is something else */
    if (!file)
        return cli_fail("cannot write '%s': %s", path, strerror(errno)), false;
    fclose(file);
    return true;
}

static void dump_list(struct dump *dump, const char *model, struct fr_bytes user, const struct recommendation_list *list)
{
    for (size_t i = 0; dump->file && i < list->len; i++)
        dump_put_row(dump->file, model, user, i + 1, list->items[i].item, list->items[i].score, list->items[i].source);
}

static void judge(struct eval *eval, struct replay *replay, const char *model, const struct eval_seen *test,
                  struct accuracy *accuracy, struct dump *dump)
{
    bool *hits = fr_zalloc(eval->k, sizeof(*hits));

    for (uint32_t u = 0; u < eval->users.len; u++) {
        size_t relevant = test->begin[u + 1] - test->begin[u];
        if (!relevant)
            continue;
        replay_begin(replay);
        struct recommendation_list list = replay_list(replay, model, u, (uint32_t)eval->k);
        for (size_t i = 0; i < list.len; i++)
            hits[i] = eval_seen_has(test, u, names_find(&eval->items, list.items[i].item));
        dump_list(dump, model, eval->users.ids[u], &list);
        accuracy_add(accuracy, hits, list.len, relevant, (uint32_t)eval->k);
        replay_end(replay);
    }
    free(hits);
}

static void tell(const struct accuracy *accuracy, uint32_t k, double coverage, struct figures *ret)
{
    char name[FIGURE_NAME];

    *ret = (struct figures){0};
    figures_add(ret, &accuracy->map, "map");
    figures_add(ret, &accuracy->ndcg, "ndcg@%u", k);
    figures_add(ret, &accuracy->precision, "precision@%u", k);
    figures_add(ret, &accuracy->recall, "recall@%u", k);
    snprintf(name, sizeof(name), "coverage@%u", k);
    figures_add_value(ret, name, accuracy->ndcg.len, coverage);
}

static bool judge_all(struct eval *eval, struct replay *replay, const struct eval_seen *test, struct figures *ret_figures)
{
    bool *tested = fr_alloc(eval->users.len + 1);
    struct dump dump;
    bool good = dump_open(&dump, eval->dump);

    eval->outcomes = 0;
    for (size_t u = 0; u < eval->users.len; u++) {
        tested[u] = test->begin[u + 1] > test->begin[u];
        eval->outcomes += tested[u];
    }
    for (size_t m = 0; good && m < eval->models_len; m++) {
        struct accuracy accuracy = {0};
        judge(eval, replay, eval->models[m], test, &accuracy, &dump);
        tell(&accuracy, (uint32_t)eval->k, replay_coverage(replay, eval->models[m], (uint32_t)eval->k, tested),
             &ret_figures[m]);
    }
    free(tested);
    eval->undumped = good && !dump_close(&dump);
    return good;
}

bool eval_split(struct eval *eval, uint64_t seed, struct figures *ret_figures)
{
    struct progress *progress;
    struct eval_seen test;
    struct replay replay;
    bool good;

    eval_sort(&eval->log, eval->users.len, eval->order, seed);
    eval_seen_init(&test, &eval->tests, eval->users.len);
    good = replay_open(&replay, eval);
    if (good) {
        progress = progress_new("learning", eval->log.len);
        replay_learn(&replay, eval->log.events, eval->log.len);
        good = replay_refresh(&replay);
        progress_end(progress, eval->log.len);
        good = good && judge_all(eval, &replay, &test, ret_figures);
        replay_close(&replay);
    }
    eval_seen_release(&test);
    return good;
}
