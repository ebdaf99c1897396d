/*
 * dump.c -- recommend --all: what would be shown to everybody, for other tools to judge.
 *
 *     model   user  rank  item   score     source         as freshet eval --dump writes it; \t, \n and \\ in ids for what they say; on a
 *                                                         terminal what it would obey is \xHH, as in tables
 *     {"userId":"ann","answer":{"items":[...],...}}        --output json: a line per user
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#include "freshet/alloc.h"
#include "freshet/v1/recommender.pb-c.h"

/* Then nobody reads it back, and what it would obey is shown. */
static bool is_terminal(FILE *file)
{
    static int known = -1;

    if (known < 0)
        known = isatty(STDOUT_FILENO);
    return file == stdout && known;
}

static void put_id(FILE *file, struct fr_bytes id)
{
    if (is_terminal(file)) {
        char *text = fr_strndup(id.at, id.len), *shown = cli_printable(text);
        fputs(shown, file);
        free(shown);
        free(text);
        return;
    }
    for (size_t i = 0; i < id.len; i++)
        switch (id.at[i]) {
        case '\t':
            fputs("\\t", file);
            break;
        case '\n':
            fputs("\\n", file);
            break;
        case '\\':
            fputs("\\\\", file);
            break;
        default:
            putc(id.at[i], file);
        }
}

void dump_put_row(FILE *file, const char *model, struct fr_bytes user, size_t rank, struct fr_bytes item, double score,
                  const char *source)
{
    put_id(file, fr_bytes_of(model));
    putc('\t', file);
    put_id(file, user);
    fprintf(file, "\t%zu\t", rank);
    put_id(file, item);
    fprintf(file, "\t%.17g\t", score);
    put_id(file, fr_bytes_of(source));
    putc('\n', file);
}

static void put_rows(struct fr_bytes user, const Freshet__V1__RecommendResponse *answer)
{
    for (size_t i = 0; i < answer->n_items; i++) {
        const Freshet__V1__Recommendation *item = answer->items[i];
        dump_put_row(stdout, answer->model, user, i + 1, bytes_of(item->item_id), item->score, item->source);
    }
}

static void put_json(struct fr_bytes user, const Freshet__V1__RecommendResponse *answer)
{
    char *quoted = json_text_id(user), *text = json_text(&answer->base);

    printf("{\"userId\":%s,\"answer\":%s}\n", quoted, text ? text : "{}");
    free(quoted);
    free(text);
}

static int ask_one(const struct common *common, struct rpc *rpc, Freshet__V1__RecommendRequest *request, struct fr_bytes user)
{
    Freshet__V1__RecommendResponse *answer;
    struct fr_err err;

    request->user_id = (ProtobufCBinaryData){user.len, (uint8_t *)(uintptr_t)user.at};
    if (rpc_ask(rpc, "/freshet.v1.Recommender/Recommend", &request->base, &freshet__v1__recommend_response__descriptor,
                (ProtobufCMessage **)(void *)&answer, common->timeout_ms, &err))
        return cli_fail("%s", err.text);
    (common_json(common) ? put_json : put_rows)(user, answer);
    cli_wrote();
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}

/* Until nothing more can be read, or written: then nobody is asked for nothing. */
static int ask_all(const struct common *common, Freshet__V1__RecommendRequest *request, FILE *file, const char *name)
{
    struct lines lines = {.file = file, .name = name, .most = LINE_MOST};
    struct progress *progress;
    struct rpc *rpc;
    struct fr_err err;
    uint64_t asked = 0;
    int status = CLI_DONE;

    if (rpc_open(&rpc, common->server, &err))
        return cli_fail("%s", err.text);
    progress = progress_new("asking", 0);
    if (!common_json(common))
        fputs(DUMP_HEADER, stdout);
    while (!status && !ferror(stdout) && lines_next(&lines)) {
        if (!lines.len)
            continue;
        if (lines_whole(&lines))
            status = ask_one(common, rpc, request, (struct fr_bytes){lines.at, lines.len});
        else
            status = cli_fail("%s:%llu %s", name, (unsigned long long)lines.number, LINE_NOT_WHOLE);
        asked += !status;
        progress_show(progress, asked);
    }
    status = lines.failed ? CLI_FAILED : status;
    lines_release(&lines);
    rpc_close(rpc);
    progress_end(progress, asked);
    return status;
}

int recommend_all(const struct common *common, void *request, const char *users)
{
    FILE *file = strcmp(users, "-") ? fopen(users, "r") : stdin;
    int status = CLI_FAILED, first = file ? getc(file) : EOF; /* a folder can be opened, not read */

    if (file && !ferror(file)) {
        ungetc(first, file);
        status = ask_all(common, request, file, users);
    } else {
        cli_fail("cannot read '%s': %s", users, strerror(errno));
    }
    if (file && file != stdin)
        fclose(file);
    return status;
}
