/*
 * ease_solve.c -- P = A^-1 by Cholesky's factors, a block of columns at a time, so that somebody who wants to stop need not wait.
 *
 *     A = L L^T              factor      as LAPACK's potrf     n^3 / 3 multiplications and additions each,
 *     L   ->  L^-1           turn              trtri           nearly all of them in products of blocks
 *     P = L^-T L^-1          multiply          lauum
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
 * BLAS is BLIS, in its build without threads (CMakeLists.txt): it goes by what a processor can do, and any thread may call it. Debian
 * 12's OpenBLAS goes by names, takes whatever is younger than itself for a Prescott (an Emerald Rapids, say), and its strsm for that
 * one ended the process at 255 items. D is small: it needs no LAPACK.
 */
#include "ease_solve.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "freshet/alloc.h"

enum { WIDTH = 256, TILE = 32, ROUNDINGS = 32 };

/* ---- a block on the diagonal, column by column; as LAPACK's potf2, trti2 and lauu2 ---- */

/* wide columns of `n`, of each what is from the diagonal down. */
struct triangle {
    float *at;
    int wide, n;
};

static float *element(struct triangle d, int row, int column)
{
    return d.at + (size_t)d.n * (size_t)column + row;
}

/* L of L L^T. 0, or the column (from 1) where it is not positive definite. */
static int triangle_factor(struct triangle d)
{
    for (int j = 0; j < d.wide; j++) {
        float *row = element(d, j, 0), *diagonal = element(d, j, j);
        int under = d.wide - j - 1;
        *diagonal -= cblas_sdot(j, row, d.n, row, d.n);
        if (!(*diagonal > 0)) /* NaN too */
            return j + 1;
        *diagonal = sqrtf(*diagonal);
        if (!under)
            break;
        if (j)
            cblas_sgemv(CblasColMajor, CblasNoTrans, under, j, -1, row + 1, d.n, row, d.n, 1, diagonal + 1, 1);
        cblas_sscal(under, 1 / *diagonal, diagonal + 1, 1);
    }
    return 0;
}

/* L^-1. */
static void triangle_turn(struct triangle d)
{
    for (int j = d.wide - 1; j >= 0; j--) {
        float *diagonal = element(d, j, j);
        int under = d.wide - j - 1;
        *diagonal = 1 / *diagonal;
        if (!under)
            continue;
        cblas_strmv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, under, element(d, j + 1, j + 1), d.n, diagonal + 1, 1);
        cblas_sscal(under, -*diagonal, diagonal + 1, 1);
    }
}

/* L^T L. */
static void triangle_multiply(struct triangle d)
{
    for (int i = 0; i < d.wide; i++) {
        float *row = element(d, i, 0), *diagonal = element(d, i, i), own = *diagonal;
        int under = d.wide - i - 1;
        *diagonal = cblas_sdot(under + 1, diagonal, 1, diagonal, 1);
        if (i && under)
            cblas_sgemv(CblasColMajor, CblasTrans, under, i, 1, row + 1, d.n, diagonal + 1, 1, own, row, d.n);
        else if (i)
            cblas_sscal(i, own, row, d.n);
    }
}

/* ---- all blocks ---- */

/* The block of columns [at, at + wide) and what is around it; sizes in elements. */
struct block {
    struct triangle diagonal;                /* D */
    float *below, *rest, *left, *below_left; /* W, R; the rows of D and of W in what is done */
    int n, at, wide, under;                  /* under: rows of W */
};

static struct block block_at(float *matrix, int n, int at)
{
    int wide = n - at < WIDTH ? n - at : WIDTH;
    size_t column = (size_t)n * (size_t)at, next = (size_t)n * (size_t)(at + wide);

    return (struct block){
        .diagonal = {matrix + column + at, wide, n},
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
    int bad = triangle_factor(b.diagonal);

    if (bad || !b.under)
        return bad;
    cblas_strsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, b.under, b.wide, 1, b.diagonal.at, b.n, b.below, b.n);
    cblas_ssyrk(CblasColMajor, CblasLower, CblasNoTrans, b.under, b.wide, -1, b.below, b.n, 1, b.rest, b.n);
    return 0;
}

/* From the last block to the first: R is turned already. W becomes -R W D^-1, D its inverse. */
static int turn(struct block b)
{
    if (b.under) {
        cblas_strmm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, b.under, b.wide, 1, b.rest, b.n, b.below, b.n);
        cblas_strsm(CblasColMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, b.under, b.wide, -1, b.diagonal.at, b.n,
                    b.below, b.n);
    }
    triangle_turn(b.diagonal);
    return 0;
}

/* The rows of D: left becomes D^T left + W^T below_left, D becomes D^T D + W^T W. */
static int multiply(struct block b)
{
    if (b.at)
        cblas_strmm(CblasColMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, b.wide, b.at, 1, b.diagonal.at, b.n, b.left, b.n);
    triangle_multiply(b.diagonal);
    if (!b.under)
        return 0;
    if (b.at)
        cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, b.wide, b.at, b.under, 1, b.below, b.n, b.below_left, b.n, 1, b.left,
                    b.n);
    cblas_ssyrk(CblasColMajor, CblasLower, CblasTrans, b.wide, b.under, 1, b.below, b.n, 1, b.diagonal.at, b.n);
    return 0;
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
        int bad = step(block);
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

    int status = solve(matrix, (int)n, diagonal, stop, err);
    free(diagonal);
    return status;
}
