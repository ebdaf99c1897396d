/*
 * options.h -- the command line.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_DEFAULT_FILE "/etc/freshet/freshet.conf"

enum options_task { TASK_RUN, TASK_HELP, TASK_VERSION, TASK_DOCS, TASK_CHECK_CONFIG, TASK_PRINT_CONFIG, TASK_RESTORE, TASK_VERIFY };

struct options {
    enum options_task task;
    const char *config;    /* NULL: the default file when it exists, under --dev none */
    const char **settings; /* --set, in order */
    size_t settings_len;
    bool dev, rebuild;
    const char *backup; /* of TASK_RESTORE and TASK_VERIFY: a number, "all"; NULL: not said */
    bool json;          /* of the same */
};

/* False after a word on stderr about what is wrong: exit 2. */
bool options_read(struct options *ret_options, int argc, char **argv);
void options_release(struct options *options);
void options_help(void); /* to stdout */

#endif
