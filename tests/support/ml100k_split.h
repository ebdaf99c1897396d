/*
 * ml100k_split.h -- the benchmark split of MovieLens-100K (golden/benchmark-ml100k/README.md): its rows, and its metrics.
 *
 * The data is not ours to hand on: it is looked for in FRESHET_SHARED, or beside the sources.
 */
#ifndef FR_ML100K_SPLIT_H
#define FR_ML100K_SPLIT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/topk.h"

enum { ML_USERS = 944, ML_ITEMS = 1683, ML_K = 10 }; /* ids begin at 1 */

struct ml_row {
    uint32_t user, item;
    int64_t seconds; /* Unix */
};
struct ml_rows {
    struct ml_row *at;
    size_t len, room;
};

static inline void ml_add(struct ml_rows *rows, struct ml_row row)
{
    fr_reserve((void **)&rows->at, &rows->room, rows->len + 1, sizeof(*rows->at));
    rows->at[rows->len++] = row;
}

/* "train" or "test". False if the data is not there, or is no such data. */
static inline bool ml_read(const char *part, struct ml_rows *rows)
{
    const char *shared = getenv("FRESHET_SHARED"), *source = getenv("FRESHET_SOURCE");
    char path[2048], command[2100], line[256];
    struct ml_row row;
    double rating;

    *rows = (struct ml_rows){0};
    if (shared)
        snprintf(path, sizeof(path), "%s/golden/benchmark-ml100k/%s.tsv.xz", shared, part);
    else
        snprintf(path, sizeof(path), "%s/../shared/golden/benchmark-ml100k/%s.tsv.xz", source ? source : ".", part);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    fclose(file);
    snprintf(command, sizeof(command), "xz -dc '%s'", path);
    if (!(file = popen(command, "r")))
        return false;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "%u %u %lf %ld", &row.user, &row.item, &rating, &row.seconds) == 4 && row.user < ML_USERS &&
            row.item < ML_ITEMS)
            ml_add(rows, row);
    return pclose(file) == 0 && rows->len > 0;
}

struct ml_quality {
    double map, ndcg, precision, recall;
};

/* Fills the scores of all items for a user; NAN: not recommended (seen in train). */
typedef void ml_score(void *context, uint32_t user, double *scores);

static inline bool ml_lower_id(void *context, uint32_t a, uint32_t b)
{
    (void)context;
    return a < b;
}

/* One user's list against his items, which are marked. `wanted`: how many. */
static inline void ml_judge(const struct fr_ranked *list, size_t len, const bool *relevant, uint32_t wanted, struct ml_quality *sum)
{
    double precisions = 0, gain = 0, best = 0;
    uint32_t hits = 0;

    for (size_t r = 0; r < len; r++) {
        if (!relevant[list[r].id])
            continue;
        precisions += ++hits / (double)(r + 1);
        gain += 1 / log2((double)r + 2);
    }
    for (uint32_t r = 0; r < ML_K && r < wanted; r++)
        best += 1 / log2(r + 2.0);
    sum->map += precisions / wanted;
    sum->ndcg += gain / best;
    sum->precision += hits / (double)ML_K;
    sum->recall += hits / (double)wanted;
}

/* Means over all users of `test`. */
static inline struct ml_quality ml_evaluate(const struct ml_rows *test, ml_score *score, void *context)
{
    bool(*relevant)[ML_ITEMS] = fr_zalloc(ML_USERS, sizeof(*relevant));
    uint32_t *wanted = fr_zalloc(ML_USERS, sizeof(*wanted)), users = 0;
    double *scores = fr_alloc(ML_ITEMS * sizeof(*scores));
    struct ml_quality sum = {0};

    for (size_t i = 0; i < test->len; i++) {
        wanted[test->at[i].user] += !relevant[test->at[i].user][test->at[i].item];
        relevant[test->at[i].user][test->at[i].item] = true;
    }
    for (uint32_t user = 0; user < ML_USERS; user++) {
        struct fr_ranked room[ML_K];
        struct fr_topk top;
        if (!wanted[user])
            continue;
        score(context, user, scores);
        fr_topk_init(&top, room, ML_K, ml_lower_id, NULL);
        for (uint32_t item = 0; item < ML_ITEMS; item++)
            if (!isnan(scores[item]))
                fr_topk_offer(&top, item, scores[item]);
        fr_topk_finish(&top);
        ml_judge(room, top.len, relevant[user], wanted[user], &sum);
        users++;
    }
    free(relevant);
    free(wanted);
    free(scores);
    return (struct ml_quality){sum.map / users, sum.ndcg / users, sum.precision / users, sum.recall / users};
}

#endif
