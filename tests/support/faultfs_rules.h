/*
 * faultfs_rules.h -- rules for a faultfs.c that is linked in (faultfs.c has their grammar); after cmocka.h.
 */
#ifndef FAULTFS_RULES_H
#define FAULTFS_RULES_H

#include <stdio.h>

/* "": the disk is whole. Another file each time: by that it is known that they have changed. */
static inline void faultfs_rules(const char *path, const char *text)
{
    char next[400];

    snprintf(next, sizeof(next), "%s.next", path);
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(next, path), 0);
}

#endif
