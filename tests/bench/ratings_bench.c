/*
 * ratings_bench.c -- the factorization machine on ratings, two features each, beside the loop that libFM runs.
 *
 *   fm_ratings_32   rows/s: user and item, squared loss, d = 32; 943 users, 1,682 items, 75,000 ratings, as many as MovieLens-100K's
 *                   training part has. Baseline: stochastic gradient descent by libFM's formulas (Rendle 2012) and in its layout:
 *                   doubles, the d numbers of a feature far apart, d and the number of features known only when it runs. libFM 1.4.4
 *                   as shipped, not to be had from a package, was measured apart at 2.6 to 3.2 million rows/s: half of this loop
 *
 *     y(x) = w0 + sum w_i x_i + 1/2 sum_f ((sum_i v_if x_i)^2 - sum_i v_if^2 x_i^2)
 *     v_if -= eta ((y - rating) (x_i sum_f - v_if x_i^2) + lambda v_if)             [d][features]
 *
 * Both are one thread's CPU time. Ours also keeps accumulators, norms and what a checkpoint will write.
 */
#include "freshet/fm.h"
#include "learners.h"

enum { USERS = 943, ITEMS = 1682, RATINGS = 75000, D = 32, ROUNDS = 7, WARM = 2 };

struct ratings {
    uint32_t user[RATINGS], item[RATINGS];
    double value[RATINGS];
};

static struct ratings *ratings_new(uint64_t *random)
{
    struct ratings *ratings = fr_alloc(sizeof(*ratings));
    struct bench_zipf users, items;

    bench_zipf_init(&users, USERS, random);
    bench_zipf_init(&items, ITEMS, random);
    for (uint32_t k = 0; k < RATINGS; k++) {
        ratings->user[k] = bench_zipf_draw(&users, random);
        ratings->item[k] = bench_zipf_draw(&items, random);
        ratings->value[k] = (double)(1 + bench_random(random) % 5);
    }
    bench_zipf_release(&users);
    bench_zipf_release(&items);
    return ratings;
}

/* ---- the baseline: how many numbers and how many features is known when it runs, as there ---- */

struct entry {
    uint32_t feature;
    float value;
};

struct sgd {
    uint32_t dimensions;
    double constant, *bias, **factor; /* factor[f][feature] */
    double *sum, *squares;
};

static struct sgd *sgd_new(uint32_t dimensions, uint32_t features, uint64_t *random)
{
    struct sgd *sgd = fr_zalloc(1, sizeof(*sgd));

    sgd->dimensions = dimensions;
    sgd->bias = fr_zalloc(features, sizeof(*sgd->bias));
    sgd->factor = fr_zalloc(dimensions, sizeof(*sgd->factor));
    sgd->sum = fr_zalloc(dimensions, sizeof(*sgd->sum));
    sgd->squares = fr_zalloc(dimensions, sizeof(*sgd->squares));
    for (uint32_t f = 0; f < dimensions; f++) {
        sgd->factor[f] = fr_zalloc(features, sizeof(**sgd->factor));
        for (uint32_t at = 0; at < features; at++)
            sgd->factor[f][at] = (double)(bench_random(random) % 2000) / 10000 - 0.1;
    }
    return sgd;
}

static void sgd_free(struct sgd *sgd)
{
    for (uint32_t f = 0; f < sgd->dimensions; f++)
        free(sgd->factor[f]);
    free(sgd->factor);
    free(sgd->bias);
    free(sgd->sum);
    free(sgd->squares);
    free(sgd);
}

__attribute__((optimize("O3"), noinline)) static double sgd_predict(struct sgd *sgd, const struct entry *x, uint32_t len)
{
    double y = sgd->constant;

    for (uint32_t i = 0; i < len; i++)
        y += sgd->bias[x[i].feature] * (double)x[i].value;
    for (uint32_t f = 0; f < sgd->dimensions; f++) {
        sgd->sum[f] = sgd->squares[f] = 0;
        for (uint32_t i = 0; i < len; i++) {
            double term = sgd->factor[f][x[i].feature] * (double)x[i].value;
            sgd->sum[f] += term;
            sgd->squares[f] += term * term;
        }
        y += 0.5 * (sgd->sum[f] * sgd->sum[f] - sgd->squares[f]);
    }
    return y;
}

__attribute__((optimize("O3"), noinline)) static void sgd_step(struct sgd *sgd, const struct entry *x, uint32_t len, double error)
{
    const double eta = 0.01, lambda = 0.1;

    sgd->constant -= eta * error;
    for (uint32_t i = 0; i < len; i++)
        sgd->bias[x[i].feature] -= eta * error * (double)x[i].value;
    for (uint32_t f = 0; f < sgd->dimensions; f++) {
        for (uint32_t i = 0; i < len; i++) {
            double *v = &sgd->factor[f][x[i].feature], value = (double)x[i].value;
            *v -= eta * (error * (sgd->sum[f] * value - *v * value * value) + lambda * *v);
        }
    }
}

static double sgd_pass(struct sgd *sgd, const struct ratings *ratings)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < RATINGS; k++) {
        const struct entry x[2] = {{ratings->user[k], 1}, {USERS + ratings->item[k], 1}};
        double y = sgd_predict(sgd, x, 2);
        sgd_step(sgd, x, 2, (y < 1 ? 1 : y > 5 ? 5 : y) - ratings->value[k]);
    }
    return RATINGS / ((double)(cpu_ns() - begin) / 1e9);
}

/* ---- ours ---- */

static double fm_pass(struct bench *bench, const struct ratings *ratings)
{
    struct model *model = bench->learners[0].model;
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < RATINGS; k++) {
        uint64_t key = 1 + ratings->user[k];
        struct touch touch = {.user = ratings->user[k], .item = ratings->item[k], .fresh = true, .when = 2000, .weight = ratings->value[k],
                              .draw = k, .context = &key, .context_len = 1};
        fm_ops.learn(model, &touch);
    }
    journal_reset(bench->journal);
    fr_epoch_reclaim(bench->epoch);
    return RATINGS / ((double)(cpu_ns() - begin) / 1e9);
}

int main(void)
{
    struct fm_options options = fm_defaults;
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct ratings *ratings = ratings_new(&random);
    struct sgd *sgd = sgd_new(D, USERS + ITEMS, &random);
    struct bench bench;

    setvbuf(stdout, NULL, _IOLBF, 0);
    options.loss = FM_SQUARED;
    options.dimensions = D;
    options.features_admit = 1;
    bench_open(&bench, ITEMS);
    bench_learner(&bench, &fm_ops, &options);
    for (unsigned round = 0; round < WARM + ROUNDS; round++) {
        double learned = fm_pass(&bench, ratings), bare = sgd_pass(sgd, ratings);
        if (round >= WARM)
            bench_round(&rounds, learned, bare);
    }
    bench_print("fm_ratings_32", "rows/s", &rounds, false);
    bench_close(&bench);
    sgd_free(sgd);
    free(ratings);
    return 0;
}
