/*
 * eval.c -- freshet eval: what it is asked, one run per seed, the report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"
#include "freshet/log.h"

static const struct {
    const char *name;
    bool (*run)(struct eval *eval, uint64_t seed, struct figures *ret_figures);
    bool test, passes; /* takes --test; --passes */
} protocols[] = {{"prequential", eval_prequential, false, false}, {"split", eval_split, true, false}, {"loo", eval_loo, false, false},
                 {"context", eval_context, true, true}, {"ratings", eval_ratings, true, true}};
enum { PROTOCOLS = sizeof(protocols) / sizeof(*protocols), SEEDS_MAX = 1000, PASSES_MAX = 1000 };

static const char *const orders[] = {"time", "file", "mixed"};

/* "sar,popular", or "sar, popular" as in a configuration */
static bool read_models(struct eval *eval, const char *text)
{
    for (size_t len;; text += len) {
        text += strspn(text, ", ");
        len = strcspn(text, ", ");
        if (!len)
            break;
        if (eval->models_len == EVAL_MODELS_MAX) {
            cli_fail("--models names more than %d", EVAL_MODELS_MAX);
            return false;
        }
        char *name = cli_take(len + 1, 1);
        memcpy(name, text, len);
        eval->models[eval->models_len++] = name;
    }
    if (!eval->models_len)
        cli_fail("--models names none");
    return eval->models_len;
}

static int find_protocol(const char *name)
{
    for (int p = 0; p < PROTOCOLS; p++)
        if (!strcmp(protocols[p].name, name))
            return p;
    cli_fail("--protocol is '%s'; it may be prequential, split, loo, context or ratings", name);
    return -1;
}

bool eval_read_order(struct eval *eval)
{
    if (!eval->order_name)
        eval->order_name = !strcmp(eval->format, "sequences") ? "mixed" : !strcmp(eval->format, "libfm") ? "file" : "time";
    for (int o = ORDER_TIME; o <= ORDER_MIXED; o++)
        if (!strcmp(orders[o], eval->order_name)) {
            eval->order = (enum eval_order)o;
            return true;
        }
    cli_fail("--order is '%s'; it may be time, file or mixed", eval->order_name);
    return false;
}

/* Options that do not go together, or are out of range. */
static const char *nonsense(const struct eval *eval, int protocol)
{
    bool split = !strcmp(eval->protocol, "split"), loo = !strcmp(eval->protocol, "loo");

    if (protocols[protocol].test != (eval->test != NULL))
        return "--test FILE goes with --protocol split, context and ratings, and these with it";
    if (eval->passes != 1 && !protocols[protocol].passes)
        return "--passes goes with --protocol context and ratings";
    if (!loo && (eval->negatives || eval->sampled))
        return "--negatives and --sampled go with --protocol loo";
    if (eval->ratings && strcmp(eval->protocol, "prequential") != 0)
        return "--ratings goes with --protocol prequential; --protocol ratings needs no such word";
    if (eval->negatives && eval->sampled)
        return "--negatives and --sampled exclude each other";
    if (eval->dump && (!split || eval->seeds > 1))
        return "--dump goes with --protocol split and one seed";
    if (!eval->k || eval->k > EVAL_K_MAX || !eval->every || !eval->refresh || !eval->seeds || eval->seeds > SEEDS_MAX ||
        !eval->passes || eval->passes > PASSES_MAX)
        return "-k goes from 1 to 100000, --every and --refresh from 1, --seeds and --passes from 1 to 1000";
    if (eval->seeds > 1 && eval->order != ORDER_MIXED && !eval->sampled && eval->passes == 1)
        return "--seeds goes with --order mixed, --passes or --sampled: nothing else in a run is drawn anew";
    if (strcmp(eval->output, "table") != 0 && strcmp(eval->output, "json") != 0)
        return "--output may be table or json";
    return NULL;
}

/* A file that is read must not be written over. */
static bool writes_over(const struct eval *eval, const char *config)
{
    const char *const read[] = {eval->path, eval->test, eval->said, config};

    for (size_t i = 0; eval->dump && i < sizeof(read) / sizeof(*read); i++)
        if (read[i] && strcmp(read[i], "-") != 0 && tune_write_is(eval->dump, read[i])) {
            cli_fail("--dump '%s' is a file that is read; name another", eval->dump);
            return true;
        }
    return false;
}

static int run(struct eval *eval, int protocol)
{
    size_t runs_len = eval->seeds * eval->models_len;
    struct figures *runs = fr_zalloc(runs_len, sizeof(*runs)), *one = fr_zalloc(eval->models_len, sizeof(*one));
    bool good = true;

    for (uint64_t s = 0; good && s < eval->seeds; s++) {
        good = protocols[protocol].run(eval, eval->seed + s, one);
        for (size_t m = 0; m < eval->models_len; m++)
            runs[m * eval->seeds + s] = one[m];
    }
    for (size_t m = 0; good && m < eval->models_len; m++)
        figures_combine(&one[m], &runs[m * eval->seeds], eval->seeds);
    int status = good ? eval_report(eval, one) : CLI_FAILED;
    if (eval->undumped)
        status = CLI_FAILED;
    free(runs);
    free(one);
    return status;
}

static int load_and_run(struct eval *eval, int protocol)
{
    int status = CLI_FAILED;

    if (eval_load(&eval->log, &eval->users, &eval->items, eval->path, eval->format, eval->settings) &&
        (!eval->test || eval_load(&eval->tests, &eval->users, &eval->items, eval->test, eval->format, eval->settings)) &&
        (!eval->said || eval_load_items(&eval->catalogue, &eval->items, eval->said))) {
        eval->upto = eval->log.len;
        status = run(eval, protocol);
    }
    eval_log_release(&eval->log);
    eval_log_release(&eval->tests);
    eval_catalogue_release(&eval->catalogue);
    names_release(&eval->users);
    names_release(&eval->items);
    return status;
}

static int with_settings(struct eval *eval, int protocol, const char *config, const char *models, const struct texts *sets)
{
    char *problems;
    struct settings *settings = settings_new(config, sets->at, sets->len, models, &problems);
    int status;

    if (!settings) {
        fputs(problems, stderr);
        free(problems);
        return CLI_USAGE;
    }
    eval->settings = settings;
    fr_log_setup(FR_ERROR, FR_LOG_AUTO);
    status = load_and_run(eval, protocol);
    settings_free(settings);
    return status;
}

int verb_eval(int argc, char **argv)
{
    static const struct usage usage = {
        "eval", "FILE [OPTION]...",
        "How well the daemon would have recommended: replays FILE (- for standard input) through its engine, in this process.\n"
        "prequential ranks each event before it is learned; split learns FILE and recommends to the users of --test; loo keeps\n"
        "each user's last event back and ranks it; context and ratings learn FILE and score the lines of --test, as choices or\n"
        "ratings. ops/docs/evaluation.md has the definitions.",
        "freshet eval u.data --format movielens --models sar,popular --set sar.window=20"};
    struct eval eval = {.format = "jsonl", .protocol = "prequential", .output = "table", .progress = "replaying",
                        .k = 10, .every = 1, .refresh = 2000, .seed = 1, .seeds = 1, .passes = 1};
    const char *config = NULL, *models = "sar", *server;
    struct texts files = {0}, sets = {0};
    const struct option_row rows[] = {
        {"format", 'f', OPTION_TEXT, &eval.format, "NAME", "as publish's, or sequences (default jsonl)"},
        {"protocol", 'p', OPTION_TEXT, &eval.protocol, "NAME", "prequential, split, loo, context or ratings (default prequential)"},
        {"models", 'm', OPTION_TEXT, &models, "NAME,...", "side by side, from one replay (default sar); auto asks recommend.models too"},
        {"config", 'c', OPTION_TEXT, &config, "FILE", "the daemon's configuration; the environment is not looked at"},
        {"set", 0, OPTION_TEXTS, &sets, "SECTION.KEY=VALUE", "over it; may be repeated"},
        {"k", 'k', OPTION_COUNT, &eval.k, "N", "length of a list (default 10)"},
        {"order", 0, OPTION_TEXT, &eval.order_name, "NAME", "of learning: time, file or mixed (default time; libfm file, sequences mixed)"},
        {"every", 0, OPTION_COUNT, &eval.every, "N", "prequential: rank one event in so many (default 1)"},
        {"refresh", 0, OPTION_COUNT, &eval.refresh, "N", "prequential: solve EASE anew after so many events (default 2000)"},
        {"test", 't', OPTION_TEXT, &eval.test, "FILE", "what is to be found, or scored, in the same format"},
        {"items", 0, OPTION_TEXT, &eval.said, "FILE", "what is said of items, as publish's items-jsonl; known from the start"},
        {"dump", 0, OPTION_TEXT, &eval.dump, "FILE", "split: writes the lists, for any other tool to judge"},
        {"passes", 0, OPTION_COUNT, &eval.passes, "N", "context, ratings: learn FILE so often, but for the first time mixed (default 1)"},
        {"ratings", 0, OPTION_FLAG, &eval.ratings, NULL, "prequential: scores predict weights (fm.loss=squared): also rmse and mae"},
        {"negatives", 0, OPTION_TEXT, &eval.negatives, "FILE", "loo: user, item kept back, and what it is ranked among, by tabs"},
        {"sampled", 0, OPTION_COUNT, &eval.sampled, "N", "loo: rank also among N items the user has not had"},
        {"seed", 0, OPTION_COUNT, &eval.seed, "N", "of --order mixed, --passes and --sampled (default 1)"},
        {"seeds", 0, OPTION_COUNT, &eval.seeds, "N", "so many runs of these with the seeds from there on; mean and spread"},
        {"output", 'o', OPTION_TEXT, &eval.output, "table|json", "for people or for programs (default table)"},
        UNASKED_ROW("server", server),
        {0},
    };
    int status = options_read(&usage, rows, argc, argv, &files), protocol;
    const char *wrong;

    if (status >= 0)
        return status;
    if (files.len != 1) {
        cli_fail("eval needs one FILE, or - for standard input");
        return CLI_USAGE;
    }
    eval.path = files.at[0];
    protocol = find_protocol(eval.protocol);
    if (protocol < 0 || !read_models(&eval, models) || !eval_read_order(&eval))
        return CLI_USAGE;
    if ((wrong = nonsense(&eval, protocol))) {
        cli_fail("%s", wrong);
        return CLI_USAGE;
    }
    if (writes_over(&eval, config) || (!strcmp(eval.output, "json") && !json_holds("FILE", eval.path)))
        return CLI_USAGE;
    if (eval.dump && !eval_dump_can(eval.dump))
        return CLI_FAILED;
    return with_settings(&eval, protocol, config, models, &sets);
}
