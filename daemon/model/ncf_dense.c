/*
 * ncf_dense.c -- the layers, forwards and backwards, and the optimiser of their numbers.
 *
 *     h1 = relu(b1 + p W1u + q W1i)      p: the user's, q: an item's; W1 is one matrix, the user's rows first
 *     h2 = relu(b2 + h1 W2)
 *     h3 = relu(b3 + h2 W3)
 *     z += b + <v, h3>
 *
 *     e = d loss / d z                                        gradients
 *     d3 = e v [h3 > 0]                                       v: sum e h3           b: sum e
 *     d2 = (d3 W3') [h2 > 0]                                  W3: sum h2' d3        b3: sum d3
 *     d1 = (d2 W2') [h1 > 0]                                  W2: sum h1' d2        b2: sum d2
 *     q: d1 W1i'      p: (sum d1) W1u'                        W1i: sum q' d1        W1u: p' sum d1        b1: sum d1
 *
 * Matrices have a row for each number that comes in, so going forwards is a product and going back are dot products with
 * rows; all sums run over the examples of one event.
 *
 * Adam (Kingma and Ba 2015), once per batch, with the mean gradient g of its examples:
 *
 *     m <- beta1 m + (1 - beta1) g        u = rate  m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon)
 *     s <- beta2 s + (1 - beta2) g^2      x <- x - u / max(1, max over all of |u| / (0.1 |x| + 0.01))
 *
 * The last maximum keeps a batch unlike any before from moving a number by more than a tenth of it (Clippy, Tang et al. 2023).
 *
 * ReLU lets pass what is no number, so that it reaches the score, where it is looked for.
 */
#include <math.h>
#include <string.h>

#include "ncf_parts.h"
#include "sampler.h"

static const float UPDATE_SHARE = 0.1F, UPDATE_LEAST = 0.01F;

static size_t place(size_t *end, size_t len)
{
    size_t at = *end;

    *end += (len + VECTOR_WIDTH - 1) / VECTOR_WIDTH * VECTOR_WIDTH;
    return at;
}

static void shape_init(struct dense_shape *shape, const struct ncf_options *options)
{
    size_t end = 0;

    *shape = (struct dense_shape){.gmf = options->gmf, .mlp = options->mlp};
    for (size_t l = 0; l < NCF_LAYERS; l++) {
        shape->in[l] = l ? options->layers[l - 1] : 2 * (size_t)options->mlp;
        shape->out[l] = options->layers[l];
        shape->weights[l] = place(&end, shape->in[l] * shape->out[l]);
        shape->bias[l] = place(&end, shape->out[l]);
    }
    shape->product = place(&end, shape->gmf);
    shape->output = place(&end, shape->out[NCF_LAYERS - 1]);
    shape->intercept = place(&end, 1);
    shape->len = end;
}

/*
 * The product's weights begin at 1, so the model begins as a matrix factorization of which the layers learn the rest; the
 * intercept at the log odds that one of `negatives` + 1 examples has, so that items need not learn it (algorithms.md 4.2).
 */
static void numbers_init(struct dense *dense, const struct ncf_options *options)
{
    const struct dense_shape *shape = &dense->shape;
    size_t last = shape->out[NCF_LAYERS - 1];
    uint64_t seed = sampler_mix(options->seed ^ UINT64_C(0x6C6179657273)); /* not an item's, nor an event's */

    for (size_t l = 0; l < NCF_LAYERS; l++)
        sampler_normal(sampler_key(seed, l), sqrtf(2 / (float)shape->in[l]), dense->numbers + shape->weights[l],
                       shape->in[l] * shape->out[l]);
    for (size_t k = 0; k < shape->gmf; k++)
        dense->numbers[shape->product + k] = 1;
    sampler_normal(sampler_key(seed, NCF_LAYERS), 1 / sqrtf((float)last), dense->numbers + shape->output, last);
    dense->numbers[shape->intercept] = -logf((float)options->negatives);
}

void dense_init(struct dense *dense, const struct ncf_options *options)
{
    *dense = (struct dense){.slab = fr_slab_new(VECTOR_ALIGN, FR_SLAB_COARSE)};
    shape_init(&dense->shape, options);
    size_t len = dense->shape.len;
    dense->numbers = fr_slab_take(dense->slab, 4 * len * sizeof(float));
    memset(dense->numbers, 0, 4 * len * sizeof(float));
    dense->mean = dense->numbers + len;
    dense->square = dense->mean + len;
    dense->gradient = dense->square + len;
    numbers_init(dense, options);
}

void dense_release(struct dense *dense)
{
    fr_slab_give(dense->slab, dense->numbers, 4 * dense->shape.len * sizeof(float));
    fr_slab_free(dense->slab);
}

/* ---- forwards ---- */

void dense_user(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                const float *user, float *ret_half)
{
    memcpy(ret_half, numbers + shape->bias[0], shape->out[0] * sizeof(float));
    kernels->product(ret_half, 1, shape->out[0], user, 0, 1, numbers + shape->weights[0], shape->mlp);
}

void dense_items(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                 const float *items, size_t rows, float *halves)
{
    const float *weights = numbers + shape->weights[0] + shape->mlp * shape->out[0];

    kernels->product(halves, rows, shape->out[0], items, shape->mlp, 1, weights, shape->mlp);
}

static void relu(float *values, size_t len)
{
    for (size_t k = 0; k < len; k++)
        values[k] = values[k] < 0 ? 0 : values[k];
}

void dense_forward(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                   struct dense_pass *pass, float *scores)
{
    float said[NCF_TARGETS_MAX];

    relu(pass->value[0], pass->rows * shape->out[0]);
    for (size_t l = 1; l < NCF_LAYERS; l++) {
        for (size_t row = 0; row < pass->rows; row++)
            memcpy(pass->value[l] + row * shape->out[l], numbers + shape->bias[l], shape->out[l] * sizeof(float));
        kernels->product(pass->value[l], pass->rows, shape->out[l], pass->value[l - 1], shape->in[l], 1,
                         numbers + shape->weights[l], shape->in[l]);
        relu(pass->value[l], pass->rows * shape->out[l]);
    }
    kernels->dots(pass->value[NCF_LAYERS - 1], NULL, pass->rows, shape->out[NCF_LAYERS - 1], numbers + shape->output,
                  said);
    for (size_t row = 0; row < pass->rows; row++)
        scores[row] += numbers[shape->intercept] + said[row];
}

/* ---- backwards ---- */

/* Slopes go no further where ReLU has cut. */
static void relu_back(float *slopes, const float *values, size_t len)
{
    for (size_t k = 0; k < len; k++)
        slopes[k] = values[k] > 0 ? slopes[k] : 0;
}

static void rows_add(float *restrict sum, const float *restrict rows, size_t rows_len, size_t len)
{
    for (size_t row = 0; row < rows_len; row++) {
        for (size_t k = 0; k < len; k++)
            sum[k] += rows[row * len + k];
    }
}

void dense_backward(struct dense *dense, const struct vector_kernels *kernels, struct dense_pass *pass,
                    const float *errors)
{
    const struct dense_shape *shape = &dense->shape;
    const float *output = dense->numbers + shape->output;
    float *gradient = dense->gradient;
    size_t last = NCF_LAYERS - 1, rows = pass->rows;

    kernels->product(gradient + shape->output, 1, shape->out[last], errors, 0, 1, pass->value[last], rows);
    for (size_t row = 0; row < rows; row++) {
        gradient[shape->intercept] += errors[row];
        for (size_t k = 0; k < shape->out[last]; k++)
            pass->slope[last][row * shape->out[last] + k] = errors[row] * output[k];
    }
    relu_back(pass->slope[last], pass->value[last], rows * shape->out[last]);
    for (size_t l = last; l > 0; l--) {
        size_t in = shape->in[l], out = shape->out[l];
        kernels->product(gradient + shape->weights[l], in, out, pass->value[l - 1], 1, in, pass->slope[l], rows);
        rows_add(gradient + shape->bias[l], pass->slope[l], rows, out);
        for (size_t row = 0; row < rows; row++)
            kernels->dots(dense->numbers + shape->weights[l], NULL, in, out, pass->slope[l] + row * out,
                          pass->slope[l - 1] + row * in);
        relu_back(pass->slope[l - 1], pass->value[l - 1], rows * in);
    }
}

void dense_backward_first(struct dense *dense, const struct vector_kernels *kernels, const struct dense_pass *pass,
                          const float *user, const float *items, float *ret_user, float *ret_items)
{
    const struct dense_shape *shape = &dense->shape;
    size_t mlp = shape->mlp, out = shape->out[0], of_user = shape->weights[0], of_item = of_user + mlp * out;
    alignas(VECTOR_ALIGN) float sum[NCF_WIDTH_MAX] = {0};

    rows_add(sum, pass->slope[0], pass->rows, out);
    rows_add(dense->gradient + shape->bias[0], sum, 1, out);
    kernels->product(dense->gradient + of_user, mlp, out, user, 1, 0, sum, 1);
    kernels->product(dense->gradient + of_item, mlp, out, items, 1, mlp, pass->slope[0], pass->rows);
    kernels->dots(dense->numbers + of_user, NULL, mlp, out, sum, ret_user);
    for (size_t row = 0; row < pass->rows; row++)
        kernels->dots(dense->numbers + of_item, NULL, mlp, out, pass->slope[0] + row * out, ret_items + row * mlp);
}

/* ---- the optimiser ---- */

bool dense_step(struct dense *dense, const struct ncf_options *options)
{
    float share = 1 / (float)dense->examples, all = 0, most = 1;
    float beta1 = (float)options->beta1, beta2 = (float)options->beta2, epsilon = (float)options->epsilon;
    float *restrict mean = dense->mean, *restrict square = dense->square, *restrict update = dense->gradient;
    float *restrict numbers = dense->numbers;
    size_t len = dense->shape.len;

    dense->examples = 0;
    for (size_t k = 0; k < len; k++)
        all += fabsf(update[k]);
    if (!isfinite(all)) {
        memset(update, 0, len * sizeof(float));
        return false;
    }
    dense->steps++;
    float rate = (float)(options->rate / (1 - pow(options->beta1, (double)dense->steps)));
    float spread = (float)(1 / (1 - pow(options->beta2, (double)dense->steps)));
    for (size_t k = 0; k < len; k++) {
        float gradient = update[k] * share;
        mean[k] = beta1 * mean[k] + (1 - beta1) * gradient;
        square[k] = beta2 * square[k] + (1 - beta2) * gradient * gradient;
        update[k] = rate * mean[k] / (sqrtf(square[k] * spread) + epsilon);
    }
    for (size_t k = 0; k < len; k++) {
        float of = fabsf(update[k]) / (UPDATE_SHARE * fabsf(numbers[k]) + UPDATE_LEAST);
        most = of > most ? of : most;
    }
    for (size_t k = 0; k < len; k++) {
        numbers[k] -= update[k] / most;
        update[k] = 0;
    }
    return true;
}
