/*
 * cli.h -- what the verbs of `freshet` share.
 *
 *     main.c      the table of verbs                 options.c  one table of options per verb, --help made from it
 *     ask.c       recommend similar popular            operate.c  status checkpoint pause ...   backups.c  backup verify restore
 *     admin.c     where the Admin service is, and one call of it
 *     why.c       score explain                        watch.c    watch               facts.c    user item
 *     dump.c      recommend --all                      bench.c    bench
 *     publish.c patience.h pace.h   file -> Kafka           lines.c formats.c  lines, and those of the known formats -> events
 *     eval.c tune.c    eval and tune, with eval_*.c (eval.h)
 *     interrupt.c wrote.c    a signal ends the reading, not what was read; why stdout could not be written
 *     rpc.c credentials.c  one call, over TLS with a token                           table.c json.c titles.c progress.c   what people and programs see
 */
#ifndef FR_CLI_H
#define FR_CLI_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "freshet/bytes.h"
#include "freshet/err.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Says "freshet: ..." on stderr, on one line and as cli_shown() says; returns CLI_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *format, ...);

/* Zeroed memory for as long as the program runs: a run asks once, so what it asks with is never given back one by one. */
void *cli_take(size_t count, size_t size);

/* ---- options.c ---- */

struct texts { /* an option that may be given again and again */
    const char **at;
    size_t len, cap;
};
void texts_add(struct texts *texts, const char *text); /* borrowed; the only one to grow `at`, which is cli_take's */
enum option_kind { OPTION_TEXT, OPTION_TEXTS, OPTION_COUNT, OPTION_COUNT32, OPTION_MS, OPTION_REAL, OPTION_FLAG };
struct option_row {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum option_kind kind;
    void *target; /* const char **, struct texts *, uint64_t *, uint32_t *, uint64_t *, double *, bool * */
    const char *argument, *help;
};
struct usage {
    const char *verb, *arguments, *about, *example;
};
/* Reads argv[1..]; what is no option goes to `rest` (NULL: nothing may). -1: go on; else the exit status (help, or a usage error). */
int options_read(const struct usage *usage, const struct option_row *rows, int argc, char **argv, struct texts *rest);

/* A whole number of 0 or more, a number that is finite: all of the text, without blanks. What is more than 64 bits hold is not whole. */
bool cli_count(const char *text, uint64_t *ret);
bool cli_real(const char *text, double *ret);
const char *cli_environment(const char *name); /* NULL: not set, or empty */

/* What every verb that asks the daemon takes; COMMON_ROWS puts them into its table. */
struct common {
    const char *server, *output, *titles;
    const char *admin, *beside; /* operators' verbs: --admin and --server as given, NULL: not; common_admin() says what follows */
    uint64_t timeout_ms;
};
struct common common_defaults(void);
#define SERVER_ROW(common)                                                                                             \
    {"server", 0, OPTION_TEXT, &(common).server, "HOST:PORT", "the daemon (default $FRESHET_SERVER or 127.0.0.1:50051)"}, ACCESS_ROWS
#define ADMIN_ROW(common)                                                                                              \
    {"admin", 0, OPTION_TEXT, &(common).admin, "HOST:PORT",                                                            \
     "the daemon's Admin service (default $FRESHET_ADMIN or 127.0.0.1:50052)"},                                        \
        {"server", 0, OPTION_TEXT, &(common).beside, "HOST:PORT",                                                      \
         "the daemon; HOST:50051 means --admin HOST:50052. Where it does not tell which, --admin is asked for"},       \
        ACCESS_ROWS
/* Of a verb that asks no daemon, for who gives the same options to all of them. */
#define UNASKED_ROW(name, target) {name, 0, OPTION_TEXT, &(target), "HOST:PORT", "not used here: no daemon is asked"}
/* How this run shows itself to whatever daemon it asks: paths of files, never a token, which others could see in the list of
 * processes. NULL: not given. */
struct access_files {
    const char *tls_ca, *tls_cert, *tls_key, *token;
};
extern struct access_files access_files;
#define ACCESS_ROWS                                                                                                    \
    {"tls-ca", 0, OPTION_TEXT, &access_files.tls_ca, "FILE",                                                           \
     "speak TLS; PEM of who signed the daemon's certificate (default $FRESHET_TLS_CA)"},                               \
        {"tls-cert", 0, OPTION_TEXT, &access_files.tls_cert, "FILE", "PEM, own certificate for mTLS (default $FRESHET_TLS_CERT)"}, \
        {"tls-key", 0, OPTION_TEXT, &access_files.tls_key, "FILE", "PEM, its private key (default $FRESHET_TLS_KEY)"}, \
    {                                                                                                                  \
        "token-file", 0, OPTION_TEXT, &access_files.token, "FILE", "holds the token to show (default $FRESHET_TOKEN_FILE)" \
    }
#define OUTPUT_ROWS(common)                                                                                            \
    {"output", 'o', OPTION_TEXT, &(common).output, "table|json", "for people or for programs (default table)"},        \
    {                                                                                                                  \
        "timeout", 0, OPTION_MS, &(common).timeout_ms, "MS", "give up after this long (default 10000)"                 \
    }
#define OUTPUT_ROWS_LONG(common)                                                                                        \
    {"output", 'o', OPTION_TEXT, &(common).output, "table|json", "for people or for programs (default table)"},        \
    {                                                                                                                  \
        "timeout", 0, OPTION_MS, &(common).timeout_ms, "MS", "give up waiting after this long (default an hour)"       \
    }
#define TITLES_ROW(common) {"titles", 0, OPTION_TEXT, &(common).titles, "FILE", "item<TAB>title lines, shown beside item ids"}
bool common_json(const struct common *common);
bool common_check(const struct common *common); /* says what is wrong with --output */

/* ---- admin.c ---- */

/* Where the Admin service is that is meant; NULL: that cannot be told, and it has said so. */
const char *common_admin(const struct common *common);
/* Calls it; the answer is unpacked into *ret, for protobuf_c_message_free_unpacked. The exit status; on failure it has said why. */
int admin_call(const struct common *common, const char *method, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *response, void *ret);

/* ---- rpc.c ---- */

/* One unary call, as access_files say. *ret is unpacked, the caller frees it with protobuf_c_message_free_unpacked. On failure the text
 * names the server and the status, and `retriable` says whether it may pass, as with a daemon that starts again. Thread: one at a time. */
int rpc_call(const char *server, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, ProtobufCMessage **ret, uint64_t timeout_ms, struct fr_err *err);
/* The same for many calls on one connection, its own. */
struct rpc;
int rpc_open(struct rpc **ret, const char *server, struct fr_err *err); /* borrowed; nothing is connected yet */
int rpc_ask(struct rpc *rpc, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
            ProtobufCMessage **ret, uint64_t timeout_ms, struct fr_err *err);
/* A call with answers one after another: `take` is given each, and says whether it wants more. FR_OK: it does not, or the server has ended
 * it well, or timeout_ms (0: none) are over after a first answer. */
int rpc_stream(struct rpc *rpc, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               bool (*take)(void *context, ProtobufCMessage *message), void *context, uint64_t timeout_ms, struct fr_err *err);
void rpc_close(struct rpc *rpc);

/* ---- what people and programs see ---- */

/* To be called behind what writes to stdout much, or at once: notes why it could not, before errno tells of something else. */
void cli_wrote(void);
int cli_wrote_errno(void); /* 0: it could, or nobody knows why not */

/* Is `file` a terminal that understands bold and "erase the line"? Not with TERM unset or dumb. */
bool cli_terminal(FILE *file);

/* What would move the cursor or begin an escape sequence as \xHH: ids, titles and what servers say are other people's text. _shown's is
 * cli_take's. */
char *cli_printable(const char *text); /* malloc'ed */
const char *cli_shown(const char *text);
/* The bytes of the control character at `text`: C0 and DEL have one, C1 (U+0080 to U+009F) two; 0: it is none. */
size_t cli_control_len(const char *text);

struct table;
enum { TABLE_LEFT, TABLE_RIGHT };
/* `columns`: titles, one per column; `align`: TABLE_LEFT or TABLE_RIGHT each. */
struct table *table_new(size_t columns, const char *const *titles, const int *align);
/* Copies, as cli_printable() does. */
void table_add(struct table *table, const char *const *cells);
void table_print(const struct table *table);                    /* bold titles on a terminal */
void table_free(struct table *table);
/* The cells of a column of numbers, points under each other: six digits of the largest, and so many decimals of all, but none that are 0 in
 * all of them. `sign`: + too. malloc'ed. */
enum { TABLE_NUMBER = 32 };
char (*table_numbers(const double *values, size_t len, bool sign))[TABLE_NUMBER];
size_t table_width(const char *text); /* columns on a terminal: code points, not bytes */

/* proto3 JSON of any message: lowerCamelCase names, 64-bit integers as strings, ids as text. One line on stdout. What a terminal would obey is
 * \u00HH in it, as in all that follows. */
void json_print(const ProtobufCMessage *message);
char *json_text(const ProtobufCMessage *message); /* malloc'ed */
/* Several in one document: an array, in this order. */
char *json_text_all(const ProtobufCMessage *const *messages, size_t len);
char *json_text_id(struct fr_bytes id); /* malloc'ed; null where it is not UTF-8 */
/* Prints a document of jansson's on stdout, and releases it. */
struct json_t;
int json_put(struct json_t *document); /* the exit status; it has said why where that is no success */
struct json_t *json_number(double value); /* null for what is no number */
/* JSON holds UTF-8, and names of files are any bytes: false, and says so, where `text` (`what` it is) cannot be in a document. */
bool json_holds(const char *what, const char *text);

/* Titles of items, by id. NULL when there is no file (or no such item). */
struct titles;
int titles_open(struct titles **ret, const char *path);
const char *titles_find(const struct titles *titles, struct fr_bytes item);
void titles_close(struct titles *titles);

/* ---- lines.c ---- */

enum { LINE_MOST = 1 << 20, LINE_MOST_LONG = 64 << 20 /* of a line per user */ };
struct lines { /* all zero but for the first three */
    FILE *file;
    const char *name;
    size_t most; /* bytes of a line */
    char *at;    /* the line, without its end, and a NUL behind it; until the next */
    size_t len, room;
    uint64_t number; /* from 1 */
    bool failed;
};
/* False: the end, or `failed` (it cannot be read, or a line is too long), and it has said so. */
bool lines_next(struct lines *lines);
void lines_release(struct lines *lines);
/* False: there is a NUL in it, behind which nobody would look who takes it for a text. */
static inline bool lines_whole(const struct lines *lines)
{
    return strlen(lines->at) == lines->len;
}
#define LINE_NOT_WHOLE "has a NUL in it"

/* ---- interrupt.c ---- */

/* From here on a first SIGINT or SIGTERM is the end of `file`, for whoever reads it; a second one ends the program, as ever. */
void interrupt_ends(FILE *file);
bool interrupt_came(void);
void interrupt_over(void); /* from here on a first one ends the program too */
void interrupt_obey(void); /* where one came: ends the program by it, as who started it expects, a shell say */

struct progress;
/* total 0: unknown. A bar on a terminal, a line now and then elsewhere. On stderr. */
struct progress *progress_new(const char *what, uint64_t total);
void progress_show(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress, uint64_t done); /* frees */
void progress_make_way(void); /* for a line on stderr, which would begin behind the bar; the bar comes again below it */

static inline struct fr_bytes bytes_of(ProtobufCBinaryData data)
{
    return (struct fr_bytes){(const char *)data.data, data.len};
}
static inline ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){text ? strlen(text) : 0, (uint8_t *)(uintptr_t)text};
}

/* ---- dump.c ---- */

/* The lines of TSV, here and in eval --dump; dump.c says how ids are written. `rank` from 1. */
#define DUMP_HEADER "model\tuser\trank\titem\tscore\tsource\n"
void dump_put_row(FILE *file, const char *model, struct fr_bytes user, size_t rank, struct fr_bytes item, double score,
                  const char *source);

/* Asks for every user named in a file, a line each ("-": standard input): a line of TSV per item, or of JSON per user. `request` is a
 * RecommendRequest without its user. */
int recommend_all(const struct common *common, void *request, const char *users);

/* ---- verbs ---- */

int verb_publish(int argc, char **argv);
int verb_recommend(int argc, char **argv);
int verb_similar(int argc, char **argv);
int verb_popular(int argc, char **argv);
int verb_score(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_watch(int argc, char **argv);
int verb_user(int argc, char **argv);
int verb_item(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_checkpoint(int argc, char **argv);
int verb_pause(int argc, char **argv);
int verb_resume(int argc, char **argv);
int verb_drain(int argc, char **argv);
int verb_reload(int argc, char **argv);
int verb_reset(int argc, char **argv);
int verb_forget(int argc, char **argv);
int verb_log_level(int argc, char **argv);
int verb_eval(int argc, char **argv);
int verb_bench(int argc, char **argv);
int verb_tune(int argc, char **argv);
int verb_backup(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_restore(int argc, char **argv);

#endif
