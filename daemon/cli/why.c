/*
 * why.c -- the verbs score and explain: what is said of given items, and what that is made of.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "freshet/alloc.h"

/* What both take of who asks. */
struct asker {
    struct texts seeds, context;
    const char *model;
};
#define ASKER_ROWS(asker)                                                                                                        \
    {"seed", 's', OPTION_TEXTS, &(asker).seeds, "ITEM[=W]", "an item of the present session, the newest last; may be repeated"}, \
    {"model", 0, OPTION_TEXT, &(asker).model, "NAME", "which model answers (default: the daemon's)"},                            \
    {                                                                                                                            \
        "context", 0, OPTION_TEXTS, &(asker).context, "NAME=VALUE", "what the factor models may go by besides; may be repeated"  \
    }

/* ---- score ---- */

static int best_first(const void *left, const void *right)
{
    const Freshet__V1__Recommendation *a = *(Freshet__V1__Recommendation *const *)left, *b = *(Freshet__V1__Recommendation *const *)right;

    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return fr_bytes_order(bytes_of(a->item_id), bytes_of(b->item_id));
}

int verb_score(int argc, char **argv)
{
    static const struct usage usage = {"score", "USER ITEM... [OPTION]...",
                                       "What each ITEM scores for USER (\"\" with --seed: for a session), best first; in JSON in the order given.\n"
                                       "What was seen is scored too; an unknown item scores 0.",
                                       "freshet score 17850 85123A 71053 84406B"};
    struct common common = common_defaults();
    struct texts rest = {0};
    struct asker asker = {.model = ""};
    const struct option_row rows[] = {ASKER_ROWS(asker), TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__ScoreRequest request = FRESHET__V1__SCORE_REQUEST__INIT;
    Freshet__V1__ScoreResponse *answer;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, &rest);

    if (status >= 0)
        return status;
    if (!common_check(&common) || ask_seeds(&asker.seeds, &request.n_seeds, &request.seeds) ||
        ask_context(&asker.context, &freshet__v1__score_request__context_entry__descriptor, &request.n_context, &request.context))
        return CLI_USAGE;
    if (rest.len < 2) {
        cli_fail("score needs a USER and an ITEM");
        return CLI_USAGE;
    }
    const struct texts items = {.at = rest.at + 1, .len = rest.len - 1};
    request.user_id = data_of(rest.at[0]);
    request.n_item_ids = items.len;
    request.item_ids = ask_ids(&items);
    request.model = (char *)(uintptr_t)asker.model;
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    status = ask_call(&common, ASK_SERVICE "Score", &request, &freshet__v1__score_response__descriptor, &answer);
    if (!status) {
        if (common_json(&common)) {
            json_print(&answer->base);
        } else {
            qsort(answer->items, answer->n_items, sizeof(*answer->items), best_first);
            ask_show_items(answer->items, answer->n_items, titles, ASK_SCORES);
        }
        ask_free(answer);
    }
    titles_close(titles);
    return status;
}

/* ---- explain ---- */

static void show_reasons(const Freshet__V1__ExplainResponse *answer, const struct titles *titles)
{
    static const char *const names[] = {"contribution", "why", "title"};
    static const int align[] = {TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
    struct table *table = table_new(titles ? 3 : 2, names, align);
    double *values = fr_zalloc(answer->n_reasons + 1, sizeof(*values));

    for (size_t i = 0; i < answer->n_reasons; i++)
        values[i] = answer->reasons[i]->contribution;
    char (*cells)[TABLE_NUMBER] = table_numbers(values, answer->n_reasons, true);
    for (size_t i = 0; i < answer->n_reasons; i++) {
        const Freshet__V1__Reason *reason = answer->reasons[i];
        const char *title = titles_find(titles, bytes_of(reason->item_id));
        table_add(table, (const char *const[]){cells[i], reason->text, title ? title : ""});
    }
    free(values);
    free(cells);
    table_print(table);
    table_free(table);
}

static void show_explanation(const Freshet__V1__ExplainResponse *answer, const struct titles *titles)
{
    printf("score        %.6g\n", answer->score);
    if (answer->rank)
        printf("rank         %u\n", answer->rank);
    else
        puts("rank         not in the list");
    for (size_t i = 0; i < answer->n_excluded_by; i++)
        printf("%s%s%s", i ? ", " : "excluded by  ", cli_shown(answer->excluded_by[i]), i + 1 == answer->n_excluded_by ? "\n" : "");
    if (answer->n_reasons) {
        putchar('\n');
        show_reasons(answer, titles);
    }
}

int verb_explain(int argc, char **argv)
{
    static const struct usage usage = {"explain", "USER ITEM [OPTION]...",
                                       "Why ITEM is recommended to USER (\"\" with --seed: to a session), and why not: its score, its place in the\n"
                                       "list, what adds up to the score, and what leaves it out.",
                                       "freshet explain 17850 85123A --titles ops/data/online-retail/titles.tsv"};
    struct common common = common_defaults();
    struct texts rest = {0};
    struct filter_asked filter = {0};
    struct asker asker = {.model = ""};
    const struct option_row rows[] = {ASKER_ROWS(asker),
                                      FILTER_ROWS(filter),
                                      TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__ExplainRequest request = FRESHET__V1__EXPLAIN_REQUEST__INIT;
    Freshet__V1__ExplainResponse *answer;
    struct titles *titles;
    int status = options_read(&usage, rows, argc, argv, &rest);

    if (status >= 0)
        return status;
    if (!common_check(&common) || ask_seeds(&asker.seeds, &request.n_seeds, &request.seeds) ||
        ask_context(&asker.context, &freshet__v1__explain_request__context_entry__descriptor, &request.n_context, &request.context))
        return CLI_USAGE;
    if (rest.len != 2) {
        cli_fail("explain needs a USER and an ITEM");
        return CLI_USAGE;
    }
    request.user_id = data_of(rest.at[0]);
    request.item_id = data_of(rest.at[1]);
    request.model = (char *)(uintptr_t)asker.model;
    request.filter = ask_filter(&filter);
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    status = ask_call(&common, ASK_SERVICE "Explain", &request, &freshet__v1__explain_response__descriptor, &answer);
    if (!status) {
        if (common_json(&common))
            json_print(&answer->base);
        else
            show_explanation(answer, titles);
        ask_free(answer);
    }
    titles_close(titles);
    return status;
}
