/*
 * main.c -- freshet VERB: one table, one file per family of verbs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "freshet/fds.h"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} verbs[] = {
    {"publish", verb_publish, "send a file's events to Kafka"},
    {"recommend", verb_recommend, "what to show a user, or a session"},
    {"similar", verb_similar, "items like an item, users like a user"},
    {"popular", verb_popular, "what most users hold"},
    {"score", verb_score, "rank a list of items for a user"},
    {"explain", verb_explain, "why an item is recommended, and why not"},
    {"watch", verb_watch, "what to show a user, anew whenever that changes"},
    {"user", verb_user, "what is known of a user"},
    {"item", verb_item, "what is known of an item"},
    {"status", verb_status, "positions, lag and sizes"},
    {"checkpoint", verb_checkpoint, "write and sync the state now"},
    {"pause", verb_pause, "read no more records, until resume"},
    {"resume", verb_resume, "read records again"},
    {"reload", verb_reload, "read the configuration again"},
    {"log-level", verb_log_level, "log more, or less"},
    {"reset", verb_reset, "read a halted partition on from elsewhere"},
    {"forget", verb_forget, "forget a user or an item, for ever"},
    {"drain", verb_drain, "let the daemon end; nothing is lost"},
    {"eval", verb_eval, "replay a file through the engine: how well would it have recommended?"},
    {"tune", verb_tune, "look for a better configuration on past events"},
    {"bench", verb_bench, "how many questions a second, and how long each takes"},
    {"backup", verb_backup, "copy the state while the daemon goes on"},
    {"verify", verb_verify, "read backups back, every byte"},
    {"restore", verb_restore, "put a backup in the place of the store"},
};

enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

/* What was printed may still lie in a buffer, and the disk it goes to be full. */
static int finish(int status)
{
    bool failed = ferror(stdout), failing = fflush(stdout) != 0;
    int why = cli_wrote_errno() ? cli_wrote_errno() : failing ? errno : 0;

    if (failing || failed)
        return cli_fail("cannot write the output: %s", why ? strerror(why) : "an error before");
    return status;
}

static int obey(int status)
{
    interrupt_obey();
    return status;
}

static void help(FILE *out)
{
    fputs("freshet VERB [OPTION]...   the client of freshetd\n\n", out);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-12s %s\n", verbs[i].name, verbs[i].about);
    fputs("\nfreshet VERB --help tells a verb's options, with an example. freshet --version tells the version.\n"
          "Exit status: 0 done; 1 failed, and stderr says why; 2 wrong use. restore, and verify without a daemon, are freshetd's work\n"
          "and end with its status: 74 a disk, or a damaged backup; 75 a daemon runs on the data; 78 a configuration, or no such backup.\n",
          out);
}

int main(int argc, char **argv)
{
    if (!fr_fds_take())
        return cli_fail("cannot start: %s", strerror(errno));
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help(stdout);
        return finish(CLI_DONE);
    }
    if (!strcmp(argv[1], "--version")) {
        puts("freshet " FRESHET_VERSION);
        return finish(CLI_DONE);
    }
    for (size_t i = 0; i < VERBS; i++)
        if (!strcmp(argv[1], verbs[i].name))
            return obey(finish(verbs[i].run(argc - 1, argv + 1)));
    cli_fail("there is no verb '%s'; freshet --help lists them", argv[1]);
    return CLI_USAGE;
}
