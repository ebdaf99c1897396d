/*
 * replay_test.c -- runs scenarios: files named on the command line, else every tests/replay/ *.scenario (README.md there).
 *
 *     replay_test [--rocks] [FILE...]      --rocks: on a real RocksDB; those with power cuts are left out
 */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

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

static bool run_text(const char *path, const char *text, const char *folder)
{
    sim_begin(1);
    struct world *world = world_new(folder);
    bool good = script_run(world, path, text);

    if (good)
        print_title(path, text);
    else
        fprintf(stderr, "%s\n", world->problem);
    world_free(world);
    return good;
}

struct tally {
    int ran, failed, left_out;
    const char *rocks; /* a folder for stores; NULL: in memory */
};

static void run_file(struct tally *tally, const char *path)
{
    char *text = read_file(path), folder[4096];

    snprintf(folder, sizeof(folder), "%s/%d", tally->rocks ? tally->rocks : "", tally->ran);
    if (tally->rocks && strstr(text, "\npower-cut")) {
        tally->left_out++;
    } else {
        tally->ran++;
        tally->failed += !run_text(path, text, tally->rocks ? folder : NULL);
    }
    free(text);
}

static void run_all(struct tally *tally)
{
    const char *source = getenv("FRESHET_SOURCE");
    char folder[4096], path[8192];
    struct dirent **names;

    snprintf(folder, sizeof(folder), "%s/tests/replay", source ? source : ".");
    int len = scandir(folder, &names, is_scenario, alphasort);
    for (int i = 0; i < len; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        run_file(tally, path);
        free(names[i]);
    }
    if (len >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    const char *temporary = getenv("TMPDIR"), *memory = "/dev/shm"; /* a disk would only make it slow */
    bool rocks = argc > 1 && strcmp(argv[1], "--rocks") == 0;
    struct tally tally = {0};
    char top[3000], command[4000];

    if (rocks) {
        snprintf(top, sizeof(top), "%s/freshet-replay-XXXXXX",
                 temporary ? temporary : access(memory, W_OK) ? "/tmp" : memory);
        tally.rocks = mkdtemp(top);
        if (!tally.rocks)
            return 1;
    }
    for (int i = rocks ? 2 : 1; i < argc; i++)
        run_file(&tally, argv[i]);
    if (argc == (rocks ? 2 : 1))
        run_all(&tally);
    printf("%d scenarios, %d failed, %d left out\n", tally.ran, tally.failed, tally.left_out);
    if (rocks) {
        snprintf(command, sizeof(command), "rm -rf '%s'", top);
        if (system(command))
            return 1;
    }
    return tally.failed || !tally.ran;
}
