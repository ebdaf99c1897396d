/*
 * ease_solve.h -- from the Gram matrix to EASE's weights, in place. The one door to BLAS.
 */
#ifndef FR_EASE_SOLVE_H
#define FR_EASE_SOLVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "freshet/err.h"

/*
 * matrix: n rows of n, n > 0. In: A's diagonal and what is right of it; A is symmetric. Out: B[i][j] = -P[i][j] / P[j][j] with P = A^-1,
 * B[j][j] = 0, all of it, finite. FR_INVALID if A is not positive definite, or too near to that for float; FR_CLOSED when *stop (NULL:
 * never) becomes true; then the matrix holds nothing of use. The same matrix gives the same bits on the same processor.
 * Thread: any.
 */
int ease_solve(float *matrix, uint32_t n, const _Atomic bool *stop, struct fr_err *err);

#endif
