/*
 * ask.c -- the verbs that ask: recommend, similar, popular; and what they share with why.c and watch.c. Each fills a request, calls, and shows the answer as a table or as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/codec.h"

int ask_call(const struct common *common, const char *method, const void *request,
                const ProtobufCMessageDescriptor *type, void *ret)
{
    struct fr_err err;

    if (rpc_call(common->server, method, request, type, ret, common->timeout_ms, &err))
        return cli_fail("%s", err.text);
    return CLI_DONE;
}

void ask_free(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

static char *text_of(ProtobufCBinaryData id)
{
    return fr_strndup((const char *)id.data, id.len);
}

ProtobufCBinaryData *ask_ids(const struct texts *texts)
{
    ProtobufCBinaryData *ids = cli_take(texts->len, sizeof(*ids));

    for (size_t i = 0; i < texts->len; i++)
        ids[i] = data_of(texts->at[i]);
    return ids;
}

/* ---- recommend and popular ---- */

static void put_reasons(struct fr_writer *out, const struct titles *titles, const Freshet__V1__Recommendation *item)
{
    for (size_t i = 0; i < item->n_reasons && i < 3; i++) {
        ProtobufCBinaryData id = item->reasons[i]->item_id;
        const char *title = titles_find(titles, bytes_of(id));
        fr_put_text(out, "%s", i ? ", " : "");
        if (title)
            fr_put_text(out, "%s", title);
        else
            fr_put_bytes(out, id.data, id.len);
        fr_put_text(out, " %+.3g", item->reasons[i]->contribution);
    }
    fr_put_u8(out, 0);
}

static char (*score_cells(Freshet__V1__Recommendation *const *items, size_t len, bool times))[TABLE_NUMBER]
{
    double *scores = fr_zalloc(len ? len : 1, sizeof(*scores));

    for (size_t i = 0; i < len; i++)
        scores[i] = items[i]->score;
    char (*cells)[TABLE_NUMBER] = table_numbers(scores, len, false);
    for (size_t i = 0; i < len && times; i++)
        if (scores[i] >= 0 && scores[i] < 1e18)
            fr_time_text((int64_t)scores[i], cells[i]);
    free(scores);
    return cells;
}

void ask_show_items(Freshet__V1__Recommendation *const *items, size_t len, const struct titles *titles, enum ask_show show)
{
    const int align[] = {TABLE_RIGHT, TABLE_LEFT, show & ASK_TIMES ? TABLE_LEFT : TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT, TABLE_LEFT};
    const char *names[6] = {"rank", "item", show & ASK_TIMES ? "came" : "score", "source"};
    size_t columns = 4;
    struct table *table;

    if (titles)
        names[columns++] = "title";
    if (show & ASK_REASONS)
        names[columns++] = "because of";
    table = table_new(columns, names, align);

    char (*scores)[TABLE_NUMBER] = score_cells(items, len, show & ASK_TIMES);
    for (size_t i = 0; i < len; i++) {
        struct fr_writer why;
        char rank[24], *id = text_of(items[i]->item_id);
        const char *title = titles_find(titles, bytes_of(items[i]->item_id));
        fr_writer_init(&why, 0);
        put_reasons(&why, titles, items[i]);
        snprintf(rank, sizeof(rank), "%zu", i + 1);
        const char *cells[] = {rank, id, scores[i], items[i]->source, title ? title : "", why.at};
        if (!titles)
            cells[4] = why.at;
        table_add(table, cells);
        fr_writer_release(&why);
        free(id);
    }
    free(scores);
    table_print(table);
    table_free(table);
}

int ask_seeds(const struct texts *texts, size_t *ret_len, Freshet__V1__Seed ***ret_seeds)
{
    Freshet__V1__Seed **seeds = cli_take(texts->len, sizeof(*seeds));

    for (size_t i = 0; i < texts->len; i++) {
        const char *equals = strrchr(texts->at[i], '=');
        Freshet__V1__Seed *seed = cli_take(1, sizeof(*seed));
        freshet__v1__seed__init(seed);
        seeds[i] = seed;
        seed->item_id = data_of(texts->at[i]);
        if (!equals)
            continue;
        seed->item_id.len = (size_t)(equals - texts->at[i]);
        if (!cli_real(equals + 1, &seed->weight)) {
            cli_fail("--seed is '%s'; it may be ITEM or ITEM=WEIGHT", texts->at[i]);
            return CLI_USAGE;
        }
    }
    *ret_len = texts->len;
    *ret_seeds = seeds;
    return CLI_DONE;
}

int ask_context(const struct texts *texts, const ProtobufCMessageDescriptor *type, size_t *ret_len, void *ret_entries)
{
    ProtobufCMessage **entries = cli_take(texts->len, sizeof(*entries));

    for (size_t i = 0; i < texts->len; i++) {
        const char *equals = strchr(texts->at[i], '=');
        if (!equals || equals == texts->at[i]) {
            cli_fail("--context is '%s'; it may be NAME=VALUE", texts->at[i]);
            return CLI_USAGE;
        }
        const char *name = fr_strndup(texts->at[i], (size_t)(equals - texts->at[i])), *value = equals + 1;
        entries[i] = cli_take(1, type->sizeof_message);
        type->message_init(entries[i]);
        memcpy((char *)entries[i] + type->fields[0].offset, &name, sizeof(name));
        memcpy((char *)entries[i] + type->fields[1].offset, &value, sizeof(value));
    }
    *ret_len = texts->len;
    memcpy(ret_entries, &entries, sizeof(entries));
    return CLI_DONE;
}

static char **names_of(const struct texts *texts)
{
    char **names = cli_take(texts->len + 1, sizeof(*names));

    for (size_t i = 0; i < texts->len; i++)
        names[i] = (char *)(uintptr_t)texts->at[i];
    return names;
}

Freshet__V1__Filter *ask_filter(const struct filter_asked *asked)
{
    Freshet__V1__Filter *filter = cli_take(1, sizeof(*filter));

    freshet__v1__filter__init(filter);
    filter->n_exclude_items = asked->exclude.len;
    filter->exclude_items = ask_ids(&asked->exclude);
    filter->n_include_items = asked->include.len;
    filter->include_items = ask_ids(&asked->include);
    filter->n_any_category = asked->any.len;
    filter->any_category = names_of(&asked->any);
    filter->n_all_categories = asked->all.len;
    filter->all_categories = names_of(&asked->all);
    filter->n_no_category = asked->none.len;
    filter->no_category = names_of(&asked->none);
    filter->max_per_category = asked->per_category;
    return filter;
}

static int recommend_table(const struct common *common, Freshet__V1__RecommendRequest *request, const struct texts *users,
                           const struct titles *titles)
{
    for (size_t i = 0; i < users->len; i++) {
        Freshet__V1__RecommendResponse *answer;
        request->user_id = data_of(users->at[i]);
        if (ask_call(common, ASK_SERVICE "Recommend", request, &freshet__v1__recommend_response__descriptor, &answer))
            return CLI_FAILED;
        if (i)
            putchar('\n');
        if (*users->at[i])
            printf("%s%s\n", cli_shown(users->at[i]), answer->fallback ? "  (too little known: popular items fill in)" : "");
        ask_show_items(answer->items, answer->n_items, titles, request->explain ? ASK_REASONS : ASK_SCORES);
        ask_free(answer);
    }
    return CLI_DONE;
}

/* One document: the answer of one user, an array of those of several, or, when one cannot be had, none. */
static int recommend_json(const struct common *common, Freshet__V1__RecommendRequest *request, const struct texts *users)
{
    const ProtobufCMessage **answers = fr_zalloc(users->len, sizeof(*answers));
    int status = CLI_DONE;

    for (size_t i = 0; i < users->len && !status; i++) {
        request->user_id = data_of(users->at[i]);
        status = ask_call(common, ASK_SERVICE "Recommend", request, &freshet__v1__recommend_response__descriptor, &answers[i]);
    }
    if (!status) {
        char *text = users->len == 1 ? json_text(answers[0]) : json_text_all(answers, users->len);
        puts(text);
        cli_wrote();
        free(text);
    }
    for (size_t i = 0; i < users->len; i++)
        ask_free((void *)(uintptr_t)answers[i]);
    free(answers);
    return status;
}

int verb_recommend(int argc, char **argv)
{
    static const struct usage usage = {"recommend", "[USER]... [OPTION]...",
                                       "What to show each USER, or a session given by --seed. JSON of several users is an array, in their order.\n"
                                       "--all asks for every user of a list, and writes a line of TSV per item or, with -o json, a document a line: one per user.",
                                       "freshet recommend 17850 -k 5 --explain --diversity 0.3 --titles ops/data/online-retail/titles.tsv"};
    struct common common = common_defaults();
    struct texts users = {0}, seeds = {0}, context = {0};
    struct filter_asked filter = {0};
    uint32_t k = 0;
    const char *model = "", *list = "-";
    double diversity = 0, exploration = 0;
    bool explain = false, include_seen = false, all = false;
    const struct option_row rows[] = {
        {"k", 'k', OPTION_COUNT32, &k, "N", "how many (default: the daemon's)"},
        {"all", 'a', OPTION_FLAG, &all, NULL, "for every user of --users"},
        {"users", 0, OPTION_TEXT, &list, "FILE", "with --all: user ids, a line each (default -, standard input)"},
        {"user", 'u', OPTION_TEXTS, &users, "USER", "like USER as an argument; may be repeated"},
        {"seed", 's', OPTION_TEXTS, &seeds, "ITEM[=W]", "an item of the present session, the newest last; may be repeated"},
        FILTER_ROWS(filter),
        {"include-seen", 0, OPTION_FLAG, &include_seen, NULL, "also what the user has had"},
        {"diversity", 0, OPTION_REAL, &diversity, "0..1", "how much variety counts against score (default 0)"},
        {"exploration", 0, OPTION_REAL, &exploration, "0..1",
         "how much of the list is drawn; JSON has each one's propensity (default 0)"},
        {"explain", 'e', OPTION_FLAG, &explain, NULL, "say which items each one comes from"},
        {"model", 0, OPTION_TEXT, &model, "NAME", "which model answers (default: the daemon's)"},
        {"context", 0, OPTION_TEXTS, &context, "NAME=VALUE", "what the factor models may go by besides; may be repeated"},
        TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0},
    };
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, &users);

    if (status >= 0)
        return status;
    if (!common_check(&common) || ask_seeds(&seeds, &request.n_seeds, &request.seeds) ||
        ask_context(&context, &freshet__v1__recommend_request__context_entry__descriptor, &request.n_context, &request.context))
        return CLI_USAGE;
    if (all ? users.len || common.titles : !users.len && !seeds.len) {
        cli_fail(all ? "--all goes with --users alone, not with a USER or --titles" : "recommend needs a USER, a --seed or --all");
        return CLI_USAGE;
    }
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    request.k = k;
    request.model = (char *)(uintptr_t)model;
    request.explain = explain;
    request.include_seen = include_seen;
    request.diversity = diversity;
    request.exploration = exploration;
    request.filter = ask_filter(&filter);
    const struct texts asked = users.len ? users : (struct texts){.at = (const char *[]){""}, .len = 1};
    status = all                    ? recommend_all(&common, &request, list)
             : common_json(&common) ? recommend_json(&common, &request, &asked)
                                    : recommend_table(&common, &request, &asked, titles);
    titles_close(titles);
    return status;
}

int verb_popular(int argc, char **argv)
{
    static const struct usage usage = {"popular", "[OPTION]...", "The items most users hold, are touching lately, or that came last.",
                                       "freshet popular --by trending -k 20"};
    struct common common = common_defaults();
    uint32_t k = 0;
    const char *by = "";
    struct filter_asked filter = {0};
    const struct option_row rows[] = {
        {"k", 'k', OPTION_COUNT32, &k, "N", "how many (default: the daemon's)"},
        {"by", 0, OPTION_TEXT, &by, "users|trending|newest",
         "the score: distinct users, users that fade, when it came (in JSON Unix ms; default users)"},
        FILTER_ROWS(filter),
        TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0},
    };
    Freshet__V1__PopularRequest request = FRESHET__V1__POPULAR_REQUEST__INIT;
    Freshet__V1__PopularResponse *answer;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, NULL);

    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    request.by = (char *)(uintptr_t)by;
    request.filter = ask_filter(&filter);
    request.k = k;
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    status = ask_call(&common, ASK_SERVICE "Popular", &request, &freshet__v1__popular_response__descriptor, &answer);
    if (!status) {
        if (common_json(&common))
            json_print(&answer->base);
        else
            ask_show_items(answer->items, answer->n_items, titles, strcmp(by, "newest") ? ASK_SCORES : ASK_TIMES);
        ask_free(answer);
    }
    titles_close(titles);
    return status;
}

/* ---- similar ---- */

static void show_neighbours(const Freshet__V1__SimilarResponse *answer, const struct titles *titles, bool users)
{
    static const char *const names[] = {"rank", "id", "similarity", "title"};
    static const int align[] = {TABLE_RIGHT, TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT};
    struct table *table = table_new(titles && !users ? 4 : 3, names, align);
    double *values = fr_zalloc(answer->n_neighbours + 1, sizeof(*values));

    for (size_t i = 0; i < answer->n_neighbours; i++)
        values[i] = answer->neighbours[i]->similarity;
    char (*cells)[TABLE_NUMBER] = table_numbers(values, answer->n_neighbours, false);
    for (size_t i = 0; i < answer->n_neighbours; i++) {
        char rank[24], *id = text_of(answer->neighbours[i]->id);
        const char *title = titles_find(titles, bytes_of(answer->neighbours[i]->id));
        snprintf(rank, sizeof(rank), "%zu", i + 1);
        table_add(table, (const char *const[]){rank, id, cells[i], title ? title : ""});
        free(id);
    }
    free(values);
    free(cells);
    table_print(table);
    table_free(table);
}

int verb_similar(int argc, char **argv)
{
    static const struct usage usage = {"similar", "ITEM | --user USER [OPTION]...", "Items like an item, or users like a user.",
                                       "freshet similar 85123A -k 5"};
    struct common common = common_defaults();
    struct texts items = {0};
    uint32_t k = 0;
    const char *user = NULL, *model = "";
    struct filter_asked filter = {0};
    const struct option_row rows[] = {
        {"k", 'k', OPTION_COUNT32, &k, "N", "how many (default: the daemon's)"},
        {"user", 'u', OPTION_TEXT, &user, "USER", "users like this one"},
        {"model", 0, OPTION_TEXT, &model, "NAME", "which model answers (default: the daemon's)"},
        FILTER_ROWS(filter),
        TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0},
    };
    Freshet__V1__SimilarRequest request = FRESHET__V1__SIMILAR_REQUEST__INIT;
    Freshet__V1__SimilarResponse *answer;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, &items);

    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    if (items.len + (user != NULL) != 1) {
        cli_fail("similar needs one ITEM, or --user USER");
        return CLI_USAGE;
    }
    request.k = k;
    request.item_id = data_of(items.len ? items.at[0] : "");
    request.user_id = data_of(user ? user : "");
    request.model = (char *)(uintptr_t)model;
    request.filter = ask_filter(&filter);
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    status = ask_call(&common, ASK_SERVICE "Similar", &request, &freshet__v1__similar_response__descriptor, &answer);
    if (!status) {
        if (common_json(&common))
            json_print(&answer->base);
        else
            show_neighbours(answer, titles, user);
        ask_free(answer);
    }
    titles_close(titles);
    return status;
}
