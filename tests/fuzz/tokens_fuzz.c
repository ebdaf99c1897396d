/*
 * tokens_fuzz.c -- any bytes as a file of tokens, and as an authorization header: taken or refused, without harm and with a word.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "freshet/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_bytes text = {(const char *)data, size}, token;
    struct token_table *table = NULL;
    struct fr_err err = {0};

    if (token_table_parse(&table, "fuzz", text, &err) == FR_OK) {
        assert(table);
        token_table_free(table);
    } else {
        assert(!table && strncmp(err.text, "'fuzz' ", 7) == 0);
    }
    if (tokens_bearer(text, &token))
        assert(token.len > 0 && token.len <= size && !memchr(token.at, ' ', token.len));
    return 0;
}
