/*
 * replay_test.c -- runs scenarios: files named on the command line, else every tests/replay/ *.scenario (README.md there).
 *
 *     replay_test [--rocks FOLDER] [FILE...]      --rocks: on a real RocksDB in FOLDER/0, FOLDER/1 ...; power cuts are left out
 */
#include <dirent.h>
#include <errno.h>

#include "script.h"

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;

    if (!file || getdelim(&text, &cap, '\0', file) < 0) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(file);
    return text;
}

static int is_scenario(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');

    return end && strcmp(end, ".scenario") == 0;
}

/* Its first comment, which says what it shows. */
static void print_title(const char *path, const char *text)
{
    const char *name = strrchr(path, '/');

    text += strspn(text, "# ");
    printf("%-34s %.*s\n", name ? name + 1 : path, (int)strcspn(text, "\n"), text);
}

static bool run_file(const char *path, const char *rocks, int number)
{
    char *text = read_file(path), folder[4096];

    if (rocks && strstr(text, "\npower-cut")) {
        free(text);
        return true;
    }
    snprintf(folder, sizeof(folder), "%s/%d", rocks ? rocks : "", number);
    sim_begin(1);
    struct world *world = world_new(rocks ? folder : NULL);
    bool good = script_run(world, path, text);
    if (good)
        print_title(path, text);
    else
        fprintf(stderr, "%s\n", world->problem);
    world_free(world);
    free(text);
    return good;
}

int main(int argc, char **argv)
{
    const char *source = getenv("FRESHET_SOURCE"), *rocks = NULL;
    int failed = 0, ran = 0, first = 1;

    if (argc > 2 && strcmp(argv[1], "--rocks") == 0) {
        rocks = argv[2];
        first = 3;
    }
    for (int i = first; i < argc; i++, ran++)
        failed += !run_file(argv[i], rocks, ran);
    if (argc == first) {
        char folder[4096], path[8192];
        struct dirent **names;
        snprintf(folder, sizeof(folder), "%s/tests/replay", source ? source : ".");
        int len = scandir(folder, &names, is_scenario, alphasort);
        for (int i = 0; i < len; i++, ran++) {
            snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
            failed += !run_file(path, rocks, ran);
            free(names[i]);
        }
        if (len >= 0)
            free(names);
    }
    printf("%d scenarios, %d failed\n", ran, failed);
    return failed || !ran;
}
