/*
 * tokens.h -- who may ask what: bearer tokens, by their SHA-256, from a file that may be read again at any time.
 *
 *     # NAME ROLE HASH                        HASH = SHA-256 of the token in hexadecimal; ROLE = read, write or admin,
 *     web   read   9f86d081884c7d659a2f...    of which each may do what those before it may
 *     web   read   60303ae22b998861bce3...    a name may have several tokens, while one takes the other's place
 *
 *     file ── tokens_read ──> table ── tokens_find ──> view, one per thread: the table as it was when last looked at
 *
 * A table never changes once it is made. A view keeps the one it has seen and looks at a number, which nobody writes
 * but who reads the file, to know that there is a newer one: so a question takes no lock, and an old table goes when
 * the last view has left it.
 *
 * A token is random and long, so a fast hash will do. How long a comparison takes says nothing: each question is
 * compared with all, each in constant time.
 */
#ifndef FR_TOKENS_H
#define FR_TOKENS_H

#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/err.h"

enum role { ROLE_NONE, ROLE_READ, ROLE_WRITE, ROLE_ADMIN }; /* as what one must be: ROLE_NONE, anybody at all */
const char *role_name(enum role role);

enum { TOKENS_MAX = 1000, TOKEN_NAME_MAX = 64, TOKENS_FILE_MAX = 256 * 1024 };

struct tokens;
/* `path` is copied. FR_CONFIG: the file cannot be read, or is malformed; the text names it, and the line. Thread: main. */
int tokens_open(struct tokens **ret_tokens, const char *path, struct fr_err *err);
/* Reads the file again. A failure leaves what was. Thread: one at a time. */
int tokens_read(struct tokens *tokens, struct fr_err *err);
size_t tokens_len(const struct tokens *tokens); /* of the table in force. Thread: main */
void tokens_free(struct tokens *tokens);        /* after its views; NULL is nothing */

struct tokens_view;
struct tokens_view *tokens_view_new(struct tokens *tokens); /* NULL for NULL */
void tokens_view_free(struct tokens_view *view);
/* ROLE_NONE: no such token. *ret_name is the view's, until it is asked again. Thread: one at a time per view. */
enum role tokens_find(struct tokens_view *view, struct fr_bytes token, const char **ret_name);
/* Of the table in force; each that is read has a greater one, and what was found before may not be in it. */
uint64_t tokens_number(const struct tokens_view *view);
/* "Bearer TOKEN" as it stands in a header: the scheme in any case. False: it is not that. */
bool tokens_bearer(struct fr_bytes header, struct fr_bytes *ret_token);

/* What is in such a file; `name` is what the error calls it. */
struct token_table;
int token_table_parse(struct token_table **ret_table, const char *name, struct fr_bytes text, struct fr_err *err);
void token_table_free(struct token_table *table);

#endif
