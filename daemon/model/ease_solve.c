/*
 * ease_solve.c -- P = A^-1 by Cholesky's factors, a block of columns at a time, so that somebody who wants to stop need not wait.
 *
 *     A = L L^T              factor      LAPACK's potrf        n^3 / 3 multiplications and additions each,
 *     L   ->  L^-1           turn        trtri                 nearly all of them in products of blocks
 *     P = L^-T L^-1          multiply    lauum
 *
 * What is right of the diagonal by rows is what is below it by columns, which is how BLAS counts: its lower triangle is ours, and
 * the other one is not touched until B is made of P.
 *
 *              0   k   k+b       n
 *            0 +---+---+---------+
 *              | . |             |        done   rows of what is done
 *            k +---+---+         |
 *              | . | D |         |        D      the block on the diagonal
 *          k+b +---+---+---------+
 *              | . | W | R       |        W      below it; R: the rest
 *            n +---+---+---------+
 *
 * Float is enough. lambda bounds the smallest eigenvalue, and what is lost is lost in the directions of the largest, the ones P holds
 * least of: against double, weights of up to 0.2 were off by 1e-7 to 7e-7 with 10^3 to 10^9 users at lambda 300, and half the
 * memory and half the time is saved.
 *
 * OpenBLAS is the build without threads (CMakeLists.txt): one with threads would start them before main, with signals not blocked,
 * and they would take cores from those who answer. That build may not be entered by two threads at once. Should it be another build
 * after all, it is told to use the one thread it was called on.
 */
#include "ease_solve.h"

#include <cblas.h>
#include <f77blas.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "freshet/alloc.h"

enum { WIDTH = 256, TILE = 32, ROUNDINGS = 32 };

static pthread_mutex_t turn_taking = PTHREAD_MUTEX_INITIALIZER;

/* The block of columns [at, at + wide) and what is around it; sizes in elements. */
struct block {
    float *diagonal, *below, *rest, *left, *below_left; /* D, W, R; the rows of D and of W in what is done */
    int n, at, wide, under;                             /* under: rows of W */
};

static struct block block_at(float *matrix, int n, int at)
{
    int wide = n - at < WIDTH ? n - at : WIDTH;
    size_t column = (size_t)n * (size_t)at, next = (size_t)n * (size_t)(at + wide);

    return (struct block){
        .diagonal = matrix + column + at,
        .below = matrix + column + at + wide,
        .rest = matrix + next + at + wide,
        .left = matrix + at,
        .below_left = matrix + at + wide,
        .n = n,
        .at = at,
        .wide = wide,
        .under = n - at - wide,
    };
}

/* D = L L^T; W becomes W L^-T, R becomes R - W W^T. 0, or the column (from 1, in the block) where A is not positive definite. */
static int factor(struct block b)
{
    int bad = 0;

    spotrf_("L", &b.wide, b.diagonal, &b.n, &bad);
    if (bad || !b.under)
        return bad;
    cblas_strsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, b.under, b.wide, 1, b.diagonal, b.n, b.below, b.n);
    cblas_ssyrk(CblasColMajor, CblasLower, CblasNoTrans, b.under, b.wide, -1, b.below, b.n, 1, b.rest, b.n);
    return 0;
}

/* From the last block to the first: R is turned already. W becomes -R W D^-1, D its inverse. */
static int turn(struct block b)
{
    int bad = 0;

    if (b.under) {
        cblas_strmm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, b.under, b.wide, 1, b.rest, b.n, b.below, b.n);
        cblas_strsm(CblasColMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, b.under, b.wide, -1, b.diagonal, b.n, b.below,
                    b.n);
    }
    strtri_("L", "N", &b.wide, b.diagonal, &b.n, &bad);
    return bad;
}

/* The rows of D: left becomes D^T left + W^T below_left, D becomes D^T D + W^T W. */
static int multiply(struct block b)
{
    int bad = 0;

    if (b.at)
        cblas_strmm(CblasColMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, b.wide, b.at, 1, b.diagonal, b.n, b.left, b.n);
    slauum_("L", &b.wide, b.diagonal, &b.n, &bad);
    if (!b.under)
        return bad;
    if (b.at)
        cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, b.wide, b.at, b.under, 1, b.below, b.n, b.below_left, b.n, 1, b.left,
                    b.n);
    cblas_ssyrk(CblasColMajor, CblasLower, CblasTrans, b.wide, b.under, 1, b.below, b.n, 1, b.diagonal, b.n);
    return bad;
}

static int not_definite(struct fr_err *err, int column, int n)
{
    return fr_fail(err, FR_INVALID, "the matrix is not positive definite at column %d of %d: lambda is too small", column, n);
}

/* One pass over all blocks. */
static int each_block(int (*step)(struct block block), float *matrix, int n, bool backward, const _Atomic bool *stop,
                      struct fr_err *err)
{
    int blocks = (n + WIDTH - 1) / WIDTH;

    for (int i = 0; i < blocks; i++) {
        struct block block = block_at(matrix, n, (backward ? blocks - 1 - i : i) * WIDTH);
        if (stop && atomic_load_explicit(stop, memory_order_relaxed))
            return fr_fail(err, FR_CLOSED, "stopped before it was solved");
        pthread_mutex_lock(&turn_taking);
        int bad = step(block);
        pthread_mutex_unlock(&turn_taking);
        if (bad)
            return not_definite(err, block.at + bad, n);
    }
    return FR_OK;
}

/* The upper triangle of P into the lower one, by tiles, so that columns are read while they are near. */
static void mirror(float *matrix, size_t n)
{
    for (size_t top = 0; top < n; top += TILE)
        for (size_t left = top; left < n; left += TILE)
            for (size_t i = top; i < top + TILE && i < n; i++)
                for (size_t j = left > i ? left : i + 1; j < left + TILE && j < n; j++)
                    matrix[j * n + i] = matrix[i * n + j];
}

/* All of P to B. False: something is not finite; an infinite or vanished P[j][j] shows on the diagonal. */
static bool weights(float *matrix, size_t n, float *diagonal)
{
    bool finite = true;

    for (size_t j = 0; j < n; j++)
        diagonal[j] = matrix[j * n + j];
    for (size_t i = 0; i < n; i++) {
        float *row = matrix + i * n;
        for (size_t j = 0; j < n; j++) {
            row[j] = -row[j] / diagonal[j];
            finite &= isfinite(row[j]) != 0;
        }
        row[i] = 0;
    }
    return finite;
}

/*
 * The square of L's diagonal is what is left of A's when the columns before have been accounted for. Where they account for all of
 * it, rounding leaves something positive every other time: as much as a few dozen roundings make is taken for nothing.
 */
static int look_at_factor(const float *matrix, size_t n, const float *diagonal, struct fr_err *err)
{
    for (size_t j = 0; j < n; j++) {
        float left = matrix[j * n + j];
        if (!(left * left > ROUNDINGS * FLT_EPSILON * diagonal[j]))
            return not_definite(err, (int)j + 1, (int)n);
    }
    return FR_OK;
}

static int solve(float *matrix, int n, float *diagonal, const _Atomic bool *stop, struct fr_err *err)
{
    for (size_t j = 0; j < (size_t)n; j++)
        diagonal[j] = matrix[j * (size_t)n + j];
    int status = each_block(factor, matrix, n, false, stop, err);
    if (!status)
        status = look_at_factor(matrix, (size_t)n, diagonal, err);
    if (!status)
        status = each_block(turn, matrix, n, true, stop, err);
    if (!status)
        status = each_block(multiply, matrix, n, false, stop, err);
    if (status)
        return status;
    mirror(matrix, (size_t)n);
    if (!weights(matrix, (size_t)n, diagonal))
        return fr_fail(err, FR_INVALID, "the inverse of the matrix is not finite: lambda is too small");
    return FR_OK;
}

int ease_solve(float *matrix, uint32_t n, const _Atomic bool *stop, struct fr_err *err)
{
    float *diagonal = fr_alloc(n * sizeof(*diagonal));

    openblas_set_num_threads(1);
    int status = solve(matrix, (int)n, diagonal, stop, err);
    free(diagonal);
    return status;
}
