/*
 * options.c -- the command line: what to do, and where the configuration comes from. Everything else is a configuration
 * key.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "freshet/alloc.h"

static const char help_head[] =
    "freshetd - learns from a Kafka topic, one event at a time, and recommends over gRPC\n"
    "\n"
    "usage: freshetd [--config FILE] [--set SECTION.KEY=VALUE]... [--dev] [--rebuild]\n"
    "       freshetd --restore[=ID] | --verify[=ID] [--json]\n"
    "       freshetd --check-config | --print-config | --version | --help\n"
    "\n"
    "  --config FILE            read this file; otherwise " OPTIONS_DEFAULT_FILE " when it exists\n"
    "  --set SECTION.KEY=VALUE  override one value; may be repeated\n"
    "  --dev                    bring a Kafka broker along, in this process: nothing else is needed. It keeps nothing\n"
    "                           and holds at most 5 MiB a partition. State is kept under ./freshet-data, and only\n"
    "                           --config names a file\n"
    "  --rebuild                set the store aside as store.before-rebuild and replay from feed.start\n"
    "  --restore[=ID]           put a backup in the place of the store, the newest good one unless told which; the old store is\n"
    "                           set aside as store.damaged. For when no daemon runs: exit 75 when one does\n"
    "  --verify[=ID]            read a backup back, all of them unless told which; exit 0, or 74 when one is damaged\n"
    "  --json                   with these two: one JSON document on stdout\n"
    "  --check-config           say what is wrong with the configuration; exit 0 or 78\n"
    "  --print-config           show every value and where it comes from, secrets masked\n"
    "  --version                versions of this program and its libraries\n"
    "\n"
    "example: freshetd --dev --set sar.mode=parity\n"
    "\n"
    "On stdout stands, under --dev, a line 'broker HOST:PORT', and once everything is up one line\n"
    "'ready grpc=HOST:PORT admin_grpc=HOST:PORT http=HOST:PORT brokers=LIST', with the ports as bound. Logs go to "
    "stderr.\n"
    "\n"
    "signals: TERM, INT  drain and stop; once more: stop at once (state is safe)\n"
    "         HUP        read the configuration again (log.level; the rest is reported as waiting for a restart), \n"
    "                    and certificates and tokens from their files\n"
    "         USR1       checkpoint now\n"
    "exit:    0 done, 2 usage, 70 internal, 74 disk, 75 another instance holds the data directory, 78 configuration\n"
    "\n"
    "Configuration: the file, over it FRESHET_<SECTION>__<KEY> from the environment, over it --set. Keys and "
    "defaults:\n";

void options_help(void)
{
    struct fr_writer keys;

    fr_writer_init(&keys, 0);
    config_help(&keys);
    fputs(help_head, stdout);
    fwrite(keys.at, 1, keys.len, stdout);
    fr_writer_release(&keys);
}

bool options_read(struct options *ret_options, int argc, char **argv)
{
    enum { CONFIG = 'c', SET = 's', DEV = 'd', REBUILD = 'r', JSON = 'j', TASK = 1000 };
    static const struct option known[] = {
        {"config", required_argument, NULL, CONFIG},
        {"set", required_argument, NULL, SET},
        {"dev", no_argument, NULL, DEV},
        {"rebuild", no_argument, NULL, REBUILD},
        {"json", no_argument, NULL, JSON},
        {"restore", optional_argument, NULL, TASK + TASK_RESTORE},
        {"verify", optional_argument, NULL, TASK + TASK_VERIFY},
        {"check-config", no_argument, NULL, TASK + TASK_CHECK_CONFIG},
        {"print-config", no_argument, NULL, TASK + TASK_PRINT_CONFIG},
        {"print-docs", no_argument, NULL, TASK + TASK_DOCS},
        {"version", no_argument, NULL, TASK + TASK_VERSION},
        {"help", no_argument, NULL, TASK + TASK_HELP},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.settings = fr_zalloc((size_t)argc, sizeof *options.settings)};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == CONFIG)
            options.config = optarg;
        else if (option == SET && !config_is_setting(optarg)) {
            fprintf(stderr, "%s: --set: '%s' is not section.key=value\n", argv[0], optarg);
            goto refused;
        } else if (option == SET)
            options.settings[options.settings_len++] = optarg;
        else if (option == DEV)
            options.dev = true;
        else if (option == REBUILD)
            options.rebuild = true;
        else if (option == JSON)
            options.json = true;
        else if (option >= TASK) {
            options.task = (enum options_task)(option - TASK);
            options.backup = optarg;
        } else
            goto refused; /* getopt has said why */
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
        goto refused;
    }
    *ret_options = options;
    return true;
refused:
    fprintf(stderr, "%s --help lists the options\n", argv[0]);
    options_release(&options);
    return false;
}

void options_release(struct options *options)
{
    free(options->settings);
}
