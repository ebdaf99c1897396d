/*
 * tokens.c -- the file of tokens, and who has one.
 */
#include "freshet/tokens.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

#include "freshet/alloc.h"
#include "read_file.h"

enum { HASH_BYTES = 32 };

struct token {
    char name[TOKEN_NAME_MAX + 1];
    enum role role;
    unsigned char hash[HASH_BYTES];
};

struct token_table {
    size_t len;
    unsigned held; /* by how many views, and by tokens itself; under tokens' lock */
    struct token token[];
};

struct tokens {
    char *path;
    EVP_MD *sha256;
    _Atomic uint64_t number; /* of the table; only ever grows */
    pthread_mutex_t lock;    /* taken when a table comes or a view finds that its own is old */
    struct token_table *table;
};

struct tokens_view {
    struct tokens *tokens;
    EVP_MD_CTX *hashing;
    uint64_t number;
    struct token_table *table;
};

static const char *const role_names[] = {"none", "read", "write", "admin"};

const char *role_name(enum role role)
{
    return role_names[role];
}

/* ---- the file ---- */

static struct fr_bytes next_word(struct fr_bytes *line)
{
    struct fr_bytes word;

    while (line->len && (*line->at == ' ' || *line->at == '\t' || *line->at == '\r'))
        line->at++, line->len--;
    word = (struct fr_bytes){line->at, 0};
    while (line->len && *line->at != ' ' && *line->at != '\t' && *line->at != '\r')
        line->at++, line->len--, word.len++;
    return word;
}

static bool take_name(struct fr_bytes word, char name[TOKEN_NAME_MAX + 1])
{
    if (word.len > TOKEN_NAME_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
        name[i] = c;
    }
    name[word.len] = 0;
    return true;
}

static bool take_role(struct fr_bytes word, enum role *ret_role)
{
    for (enum role role = ROLE_READ; role <= ROLE_ADMIN; role++)
        if (fr_bytes_equal(word, fr_bytes_of(role_names[role]))) {
            *ret_role = role;
            return true;
        }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_hash(struct fr_bytes word, unsigned char hash[HASH_BYTES])
{
    if (word.len != 2 * HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int high = hex_digit(word.at[2 * i]), low = hex_digit(word.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

/* What is wrong with a line, which is neither empty nor a comment; NULL: it is in *token. No word of it is said: it may be a
 * token itself. */
static const char *take_line(struct fr_bytes line, struct token *token)
{
    static const unsigned char of_nothing[HASH_BYTES] = {
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
        0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};

    if (!take_name(next_word(&line), token->name))
        return "the name must be at most 64 letters, digits, dots, _ and -";
    if (!take_role(next_word(&line), &token->role))
        return "after the name must come read, write or admin";
    if (!take_hash(next_word(&line), token->hash))
        return "after the role must come a SHA-256, 64 hexadecimal digits";
    if (next_word(&line).len)
        return "nothing may follow the SHA-256";
    if (memcmp(token->hash, of_nothing, HASH_BYTES) == 0)
        return "this is the SHA-256 of no token at all";
    return NULL;
}

/* Room for one more: 8, 16, 32 ... */
static struct token_table *with_room(struct token_table *table)
{
    size_t len = table->len;

    if (len >= 8 && (len & (len - 1)) == 0)
        table = fr_realloc(table, sizeof(*table) + 2 * len * sizeof(struct token));
    return table;
}

static const char *add_line(struct token_table **in_table, struct fr_bytes line)
{
    struct token_table *table = *in_table = with_room(*in_table);
    struct token *token = &table->token[table->len];
    const char *wrong;

    if (table->len == TOKENS_MAX)
        return "there are more than 1000 tokens";
    wrong = take_line(line, token);
    for (size_t i = 0; i < table->len && !wrong; i++) {
        if (memcmp(table->token[i].hash, token->hash, HASH_BYTES) == 0)
            wrong = "this token is in the file already";
        else if (strcmp(table->token[i].name, token->name) == 0 && table->token[i].role != token->role)
            wrong = "this name has another role before";
    }
    table->len += !wrong;
    return wrong;
}

int token_table_parse(struct token_table **ret_table, const char *name, struct fr_bytes text, struct fr_err *err)
{
    struct token_table *table = fr_zalloc(1, sizeof(*table) + 8 * sizeof(struct token));
    const char *end = text.len ? text.at + text.len : text.at, *wrong = NULL;
    int line = 0;

    for (const char *at = text.at, *next; at < end && !wrong; at = next) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct fr_bytes rest, word;

        next = stop ? stop + 1 : end;
        rest = word = (struct fr_bytes){at, (size_t)((stop ? stop : end) - at)};
        line++;
        word = next_word(&word);
        if (word.len && *word.at != '#')
            wrong = add_line(&table, rest);
    }
    if (!wrong && table->len) {
        *ret_table = table;
        return FR_OK;
    }
    free(table);
    if (wrong)
        return fr_fail(err, FR_CONFIG, "'%s' line %d: %s", name, line, wrong);
    return fr_fail(err, FR_CONFIG, "'%s' holds no token: nobody could ask anything", name);
}

void token_table_free(struct token_table *table)
{
    free(table);
}

/* ---- the table in force ---- */

/* Under tokens' lock. */
static void table_leave(struct token_table *table)
{
    if (table && --table->held == 0)
        token_table_free(table);
}

static void table_show(struct tokens *tokens, struct token_table *table)
{
    table->held = 1;
    pthread_mutex_lock(&tokens->lock);
    table_leave(tokens->table);
    tokens->table = table;
    atomic_fetch_add(&tokens->number, 1);
    pthread_mutex_unlock(&tokens->lock);
}

int tokens_read(struct tokens *tokens, struct fr_err *err)
{
    struct token_table *table;
    struct fr_writer text;
    int status = read_file(tokens->path, TOKENS_FILE_MAX, &text, err);

    if (status != FR_OK)
        return status;
    status = token_table_parse(&table, tokens->path, fr_written(&text), err);
    fr_writer_release(&text);
    if (status == FR_OK)
        table_show(tokens, table);
    return status;
}

int tokens_open(struct tokens **ret_tokens, const char *path, struct fr_err *err)
{
    struct tokens *tokens = fr_zalloc(1, sizeof *tokens);
    int status;

    tokens->path = fr_strdup(path);
    tokens->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    pthread_mutex_init(&tokens->lock, NULL);
    status = tokens->sha256 ? tokens_read(tokens, err) : fr_fail(err, FR_INTERNAL, "libcrypto has no SHA-256");
    if (status == FR_OK)
        *ret_tokens = tokens;
    else
        tokens_free(tokens);
    return status;
}

size_t tokens_len(const struct tokens *tokens)
{
    return tokens->table->len;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    assert(!tokens->table || tokens->table->held == 1);
    table_leave(tokens->table);
    pthread_mutex_destroy(&tokens->lock);
    EVP_MD_free(tokens->sha256);
    free(tokens->path);
    free(tokens);
}

/* ---- a thread's view of it ---- */

struct tokens_view *tokens_view_new(struct tokens *tokens)
{
    struct tokens_view *view;

    if (!tokens)
        return NULL;
    view = fr_alloc(sizeof *view);
    *view = (struct tokens_view){.tokens = tokens, .hashing = EVP_MD_CTX_new()};
    assert(view->hashing);
    return view;
}

void tokens_view_free(struct tokens_view *view)
{
    if (!view)
        return;
    pthread_mutex_lock(&view->tokens->lock);
    table_leave(view->table);
    pthread_mutex_unlock(&view->tokens->lock);
    EVP_MD_CTX_free(view->hashing);
    free(view);
}

uint64_t tokens_number(const struct tokens_view *view)
{
    return atomic_load_explicit(&view->tokens->number, memory_order_acquire);
}

static void bring_up_to_date(struct tokens_view *view)
{
    struct tokens *tokens = view->tokens;

    if (tokens_number(view) == view->number)
        return;
    pthread_mutex_lock(&tokens->lock);
    table_leave(view->table);
    view->table = tokens->table;
    view->table->held++;
    view->number = atomic_load(&tokens->number);
    pthread_mutex_unlock(&tokens->lock);
}

/* 0: none. Looks at all of both, whatever is in them; by words, since libcrypto's by bytes takes 100 us for a thousand tokens. */
static uint64_t difference(const unsigned char a[HASH_BYTES], const unsigned char b[HASH_BYTES])
{
    uint64_t x[HASH_BYTES / 8], y[HASH_BYTES / 8], sum = 0;

    memcpy(x, a, HASH_BYTES);
    memcpy(y, b, HASH_BYTES);
    for (int i = 0; i < HASH_BYTES / 8; i++)
        sum |= x[i] ^ y[i];
    return sum;
}

enum role tokens_find(struct tokens_view *view, struct fr_bytes token, const char **ret_name)
{
    unsigned char hash[HASH_BYTES];
    const struct token *found = NULL;

    bring_up_to_date(view);
    if (EVP_DigestInit_ex(view->hashing, view->tokens->sha256, NULL) != 1 ||
        EVP_DigestUpdate(view->hashing, token.at, token.len) != 1 || EVP_DigestFinal_ex(view->hashing, hash, NULL) != 1)
        return ROLE_NONE;
    for (size_t i = 0; i < view->table->len; i++) /* all of them, found or not */
        if (!difference(view->table->token[i].hash, hash))
            found = &view->table->token[i];
    if (!found)
        return ROLE_NONE;
    *ret_name = found->name;
    return found->role;
}

bool tokens_bearer(struct fr_bytes header, struct fr_bytes *ret_token)
{
    static const char scheme[] = "bearer ";
    struct fr_bytes rest;

    if (header.len < sizeof scheme - 1 || strncasecmp(header.at, scheme, sizeof scheme - 1) != 0)
        return false;
    rest = (struct fr_bytes){header.at + sizeof scheme - 1, header.len - (sizeof scheme - 1)};
    *ret_token = next_word(&rest);
    return ret_token->len && !next_word(&rest).len;
}
