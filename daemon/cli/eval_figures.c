/*
 * eval_figures.c -- sums of outcomes, and the figures made of them.
 *
 * A standard error here is that of the mean of independent outcomes, sqrt(variance / n): it says how far the figure of another file of
 * that size would be off, not whether one model beats another on this one.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval.h"

#include "freshet/alloc.h"

void mean_add(struct mean *mean, double x)
{
    mean->len++;
    mean->sum += x;
    mean->squares += x * x;
}

double mean_value(const struct mean *mean)
{
    return mean->len ? mean->sum / (double)mean->len : NAN;
}

double mean_error(const struct mean *mean)
{
    double n = (double)mean->len, variance;

    if (mean->len < 2)
        return NAN;
    variance = (mean->squares - mean->sum * mean->sum / n) / (n - 1);
    return variance > 0 ? sqrt(variance / n) : 0;
}

void standing_add(struct standing *standing, const struct rank *rank, uint32_t k)
{
    double r = rank->before + rank->beside / 2.0;
    bool hit = rank->listed && r < k;

    mean_add(&standing->hit, hit);
    mean_add(&standing->ndcg, hit ? 1 / log2(r + 2) : 0);
    mean_add(&standing->mrr, hit ? 1 / (r + 1) : 0);
}

void errors_add(struct errors *errors, double score, double weight)
{
    double off = weight - score;

    if (isnan(score))
        return;
    mean_add(&errors->squared, off * off);
    mean_add(&errors->absolute, fabs(off));
}

void labels_add(struct labels *labels, double score, bool positive, bool log_odds)
{
    double against = positive ? -score : score;

    fr_reserve((void **)&labels->at, &labels->cap, labels->len + 1, sizeof(*labels->at));
    labels->at[labels->len++] = (struct label){isnan(score) ? -INFINITY : score, positive};
    if (log_odds && !isnan(score))
        mean_add(&labels->loss, against > 0 ? against + log1p(exp(-against)) : log1p(exp(against)));
}

void accuracy_add(struct accuracy *accuracy, const bool *hits, size_t listed, size_t relevant, uint32_t k)
{
    double found = 0, precisions = 0, gain = 0, ideal = 0;

    for (size_t r = 1; r <= listed && r <= k; r++) {
        if (!hits[r - 1])
            continue;
        precisions += ++found / (double)r;
        gain += 1 / log1p((double)r);
    }
    for (size_t r = 1; r <= k && r <= relevant; r++)
        ideal += 1 / log1p((double)r);
    mean_add(&accuracy->ndcg, gain / ideal);
    if (!listed)
        return; /* the reference's other three leave such a user out */
    mean_add(&accuracy->map, precisions / (double)relevant);
    mean_add(&accuracy->precision, found / k);
    mean_add(&accuracy->recall, found / (double)relevant);
}

/* ---- figures ---- */

static struct figure *next(struct figures *figures)
{
    return &figures->at[figures->len < FIGURES_MAX - 1 ? figures->len++ : figures->len];
}

void figures_add(struct figures *figures, const struct mean *mean, const char *format, ...)
{
    struct figure *figure = next(figures);
    va_list args;

    va_start(args, format);
    vsnprintf(figure->name, sizeof(figure->name), format, args);
    va_end(args);
    figure->over = mean->len;
    figure->value = mean_value(mean);
    figure->error = mean_error(mean);
}

void figures_add_value(struct figures *figures, const char *name, uint64_t over, double value)
{
    struct figure *figure = next(figures);

    snprintf(figure->name, sizeof(figure->name), "%s", name);
    figure->over = over;
    figure->value = value;
    figure->error = NAN;
}

void figures_add_standing(struct figures *figures, const struct standing *standing, uint32_t k, const char *bucket)
{
    figures_add(figures, &standing->hit, "hit_rate@%u%s", k, bucket);
    figures_add(figures, &standing->ndcg, "ndcg@%u%s", k, bucket);
    figures_add(figures, &standing->mrr, "mrr@%u%s", k, bucket);
}

/* The error of a root is that of what is below it, over twice the root. */
void figures_add_errors(struct figures *figures, const struct errors *errors)
{
    figures_add(figures, &errors->squared, "rmse");
    struct figure *root = &figures->at[figures->len - 1];
    root->value = sqrt(root->value);
    root->error /= 2 * root->value;
    figures_add(figures, &errors->absolute, "mae");
}

static int by_score(const void *a, const void *b)
{
    const struct label *left = a, *right = b;

    return (left->score > right->score) - (left->score < right->score);
}

/* Pairs in which the positive is above, equal ones half. */
static double pairs_right(const struct labels *labels)
{
    double below = 0, pairs = 0;

    for (size_t at = 0, end; at < labels->len; at = end) {
        double positives = 0, negatives = 0;
        for (end = at; end < labels->len && labels->at[end].score == labels->at[at].score; end++) {
            positives += labels->at[end].positive;
            negatives += !labels->at[end].positive;
        }
        pairs += positives * (below + negatives / 2);
        below += negatives;
    }
    return pairs;
}

void figures_add_labels(struct figures *figures, struct labels *labels)
{
    double positives = 0;

    if (labels->len)
        qsort(labels->at, labels->len, sizeof(*labels->at), by_score);
    for (size_t i = 0; i < labels->len; i++)
        positives += labels->at[i].positive;
    double negatives = (double)labels->len - positives, auc = pairs_right(labels) / (positives * negatives);
    double square = auc * auc, variance = auc - square + (positives - 1) * (auc / (2 - auc) - square) +
                                          (negatives - 1) * (2 * square / (1 + auc) - square);
    figures_add_value(figures, "auc", labels->len, auc);
    figures->at[figures->len - 1].error = sqrt(variance / (positives * negatives));
    figures_add(figures, &labels->loss, "log_loss");
}

void figures_combine(struct figures *ret, const struct figures *runs, size_t len)
{
    *ret = runs[0];
    for (size_t f = 0; len > 1 && f < ret->len; f++) {
        double sum = 0, squares = 0;
        for (size_t r = 0; r < len; r++)
            sum += runs[r].at[f].value / (double)len;
        for (size_t r = 0; r < len; r++)
            squares += (runs[r].at[f].value - sum) * (runs[r].at[f].value - sum);
        ret->at[f].value = sum;
        ret->at[f].error = sqrt(squares / (double)(len - 1));
    }
}
