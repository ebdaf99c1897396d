/*
 * alloc.c -- allocation that succeeds or ends the process, and memory from the system.
 */
#include "freshet/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base_private.h"

void base_out_of_memory(const char *what, size_t size)
{
    char line[200];
    int len = snprintf(line, sizeof(line), "%s: out of memory: the system refused %zu bytes for %s\n",
                       program_invocation_short_name, size, what);
    ssize_t ignored = write(STDERR_FILENO, line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);

    (void)ignored;
    /* Not exit(): its handlers are other libraries', and they allocate and wait for threads. */
    _exit(EX_SOFTWARE);
}

void *fr_alloc(size_t size)
{
    void *block = malloc(size ? size : 1);

    if (!block)
        base_out_of_memory("a block", size);
    return block;
}

void *fr_zalloc(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);

    if (!block) {
        size_t bytes;
        base_out_of_memory("a zeroed block", __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
    }
    return block;
}

void *fr_realloc(void *old, size_t size)
{
    void *block = realloc(old, size ? size : 1);

    if (!block)
        base_out_of_memory("a block that grows", size);
    return block;
}

char *fr_strdup(const char *text)
{
    return fr_strndup(text, strlen(text));
}

char *fr_strndup(const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = fr_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void fr_reserve(void **array, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return;
    size_t grown = *cap + *cap / 2;
    size_t bytes;
    if (grown < want)
        grown = want;
    if (grown < 8)
        grown = 8;
    if (__builtin_mul_overflow(grown, size, &bytes))
        base_out_of_memory("a list", SIZE_MAX);
    *array = fr_realloc(*array, bytes);
    *cap = grown;
}

void *base_map(size_t size, size_t align, int protection)
{
    size_t asked;

    if (__builtin_add_overflow(size, align, &asked))
        base_out_of_memory("a mapping", SIZE_MAX);
    char *at = mmap(NULL, asked, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        base_out_of_memory("a mapping", asked);
    /* The ends beyond the aligned part go back. */
    size_t before = (align - (uintptr_t)at % align) % align;
    if (before)
        base_unmap(at, before);
    base_unmap(at + before + size, align - before);
    return at + before;
}

void base_unmap(void *at, size_t size)
{
    int failed = munmap(at, size);

    assert(!failed);
    (void)failed;
}
