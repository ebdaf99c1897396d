/*
 * watch.c -- the verb watch: a user's list, and each fresh one as it comes.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"

struct show {
    const struct common *common;
    const struct titles *titles;
    bool reasons;
    uint64_t shown, most; /* most 0: no end */
};

static bool show_list(void *context, ProtobufCMessage *message)
{
    const Freshet__V1__RecommendResponse *list = (const Freshet__V1__RecommendResponse *)message;
    struct show *show = context;
    char time[32];

    if (common_json(show->common)) {
        json_print(message);
    } else {
        printf("%s%s%s\n", show->shown ? "\n" : "", fr_time_text(fr_wall_ms(), time),
               list->fallback ? "  (too little known: popular items fill in)" : "");
        ask_show_items(list->items, list->n_items, show->titles, show->reasons ? ASK_REASONS : ASK_SCORES);
    }
    show->shown++;
    bool written = fflush(stdout) == 0;
    cli_wrote();
    return written && show->shown != show->most;
}

static int watch(struct show *show, const Freshet__V1__RecommendRequest *request)
{
    struct rpc *rpc;
    struct fr_err err;
    int status = rpc_open(&rpc, show->common->server, &err);

    if (status)
        return cli_fail("%s", err.text);
    status = rpc_stream(rpc, ASK_SERVICE "Watch", &request->base, &freshet__v1__recommend_response__descriptor, show_list, show,
                            show->common->timeout_ms, &err);

    rpc_close(rpc);
    return status ? cli_fail("%s", err.text) : CLI_DONE;
}

int verb_watch(int argc, char **argv)
{
    static const struct usage usage = {"watch", "USER [OPTION]...",
                                       "What to show USER, now and anew whenever the user's events have changed it. JSON is a document a line.",
                                       "freshet watch 17850 -k 5"};
    struct common common = common_defaults();
    struct texts users = {0}, seeds = {0}, context = {0};
    struct filter_asked filter = {0};
    uint64_t most = 0;
    uint32_t k = 0;
    const char *model = "";
    bool explain = false, include_seen = false;
    common.timeout_ms = 0;
    const struct option_row rows[] = {
        {"k", 'k', OPTION_COUNT32, &k, "N", "how many (default: the daemon's)"},
        {"lists", 'n', OPTION_COUNT, &most, "N", "end after so many lists (default: never)"},
        {"seed", 's', OPTION_TEXTS, &seeds, "ITEM[=W]", "an item of the present session, the newest last; may be repeated"},
        FILTER_ROWS(filter),
        {"include-seen", 0, OPTION_FLAG, &include_seen, NULL, "also what the user has had"},
        {"explain", 'e', OPTION_FLAG, &explain, NULL, "say which items each one comes from"},
        {"model", 0, OPTION_TEXT, &model, "NAME", "which model answers (default: the daemon's)"},
        {"context", 0, OPTION_TEXTS, &context, "NAME=VALUE", "what the factor models may go by besides; may be repeated"},
        {"output", 'o', OPTION_TEXT, &common.output, "table|json", "for people or for programs (default table)"},
        {"timeout", 0, OPTION_MS, &common.timeout_ms, "MS", "end after this long (default: never)"},
        TITLES_ROW(common), SERVER_ROW(common), {0},
    };
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, &users);

    if (status >= 0)
        return status;
    if (!common_check(&common) || ask_seeds(&seeds, &request.n_seeds, &request.seeds) ||
        ask_context(&context, &freshet__v1__recommend_request__context_entry__descriptor, &request.n_context, &request.context))
        return CLI_USAGE;
    if (users.len != 1) {
        cli_fail("watch needs one USER");
        return CLI_USAGE;
    }
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    request.user_id = data_of(users.at[0]);
    request.k = k;
    request.model = (char *)(uintptr_t)model;
    request.explain = explain;
    request.include_seen = include_seen;
    request.filter = ask_filter(&filter);
    status = watch(&(struct show){&common, titles, explain, 0, most}, &request);
    titles_close(titles);
    return status;
}
