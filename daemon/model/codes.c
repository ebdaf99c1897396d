/*
 * codes.c -- see codes.h.
 */
#include "codes.h"

#include <string.h>

void codes_put(const struct row_codes *codes, const struct code_kernels *kernels, size_t row, const float *vector, size_t d)
{
    uint8_t *code = codes->code + row / CODE_ROWS * CODE_ROWS * d + row % CODE_ROWS * 4;
    int8_t line[CODE_DIMENSIONS_MAX];

    codes->scale[row] = kernels->encode(vector, d, line);
    for (size_t i = 0; i < d; i += 4) {
        uint32_t four;
        memcpy(&four, line + i, 4);
        four ^= UINT32_C(0x80808080); /* + CODE_ZERO, as bytes without a sign */
        memcpy(code + i * CODE_ROWS, &four, 4);
    }
}

void code_user_init(struct code_user *user, const struct code_kernels *kernels, const float *vector, size_t d)
{
    *user = (struct code_user){0};
    user->step = kernels->encode(vector, d, user->code);
    for (size_t i = 0; i < d; i++)
        user->zero += CODE_ZERO * user->code[i];
}
