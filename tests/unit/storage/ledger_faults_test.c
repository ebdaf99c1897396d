/*
 * ledger_faults_test.c -- an append that failed leaves nothing that the next one would take for written (tests/support/faultfs.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "faultfs.h"
#include "faultfs_rules.h"
#include "folder.h"
#include "ledger.h"

enum { HEAD = 16 };

static char folder[256], path[300], rules[300];

static int make(void **state)
{
    (void)state;
    folder_make(folder);
    snprintf(path, sizeof(path), "%s/store.forgotten", folder);
    snprintf(rules, sizeof(rules), "%s/rules", folder);
    setenv("FAULTFS_ROOT", path, 1);
    setenv("FAULTFS_RULES", rules, 1);
    faultfs_begin();
    return 0;
}

static int clean(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static off_t size_of(void)
{
    struct stat about;

    assert_int_equal(stat(path, &about), 0);
    return about.st_size;
}

static bool gather(void *context, struct fr_bytes record)
{
    char *all = context;

    sprintf(all + strlen(all), "%.*s,", (int)record.len, record.at);
    return true;
}

static int append(struct ledger *ledger, const char *text)
{
    struct fr_bytes record = fr_bytes_of(text);

    return ledger_append(ledger, path, &record, 1, NULL);
}

/* The kernel takes what an fsync could not write for clean: the next fsync has nothing to do with it, and what was found there was never on
 * the disk. `left`: what the file holds more than before, after the failure. */
static void fails_and_is_written_anew(const char *faults, off_t left)
{
    struct ledger ledger = {0};
    char all[100] = "";

    faultfs_rules(rules, "");
    assert_int_equal(append(&ledger, "first"), FR_OK);
    off_t before = size_of();
    faultfs_rules(rules, faults);
    assert_int_equal(append(&ledger, "second"), FR_IO);
    assert_int_equal(size_of(), before + left);
    faultfs_rules(rules, "");
    assert_int_equal(append(&ledger, "second"), FR_OK);
    assert_int_equal(size_of(), before + HEAD + 6); /* where it was: not behind what the failed one left */
    assert_int_equal(ledger_read(path, gather, all, NULL), FR_OK);
    assert_string_equal(all, "first,second,");
}

static void what_was_not_synced_is_cut_off(void **state)
{
    (void)state;
    fails_and_is_written_anew("sync forgotten 1 EIO\n", 0);
}

static void half_a_record_is_cut_off(void **state)
{
    (void)state;
    fails_and_is_written_anew("write forgotten 1 torn EIO\n", 0);
}

static void what_could_not_be_cut_off_is_written_over(void **state)
{
    (void)state;
    fails_and_is_written_anew("sync forgotten 1 EIO\ntruncate forgotten 2 EIO\n", HEAD + 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_not_synced_is_cut_off, make, clean),
        cmocka_unit_test_setup_teardown(half_a_record_is_cut_off, make, clean),
        cmocka_unit_test_setup_teardown(what_could_not_be_cut_off_is_written_over, make, clean),
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIP: ThreadSanitizer's runtime makes the file calls that this program replaces, and waits for itself");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
