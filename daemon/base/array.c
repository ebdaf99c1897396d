/*
 * array.c -- one long array that never moves (the picture is in alloc.h).
 *
 * Address space is reserved without access; growing gives access, in whole huge pages and at least an
 * eighth at a time, so that a million appends cost a few dozen system calls. Pages exist once they are
 * touched. Huge pages are asked for when the second one begins: a small state stays on small pages.
 */
#include "freshet/alloc.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "base_private.h"

static size_t whole_pages(size_t bytes)
{
    return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

void fr_array_init(struct fr_array *array, size_t size, size_t max)
{
    size_t bytes;

    assert(size > 0 && size <= HUGE_PAGE);
    if (__builtin_mul_overflow(size, max, &bytes) || bytes > SIZE_MAX / 2)
        base_out_of_memory("an array", SIZE_MAX);
    size_t reserved = whole_pages(bytes ? bytes : 1);
    *array = (struct fr_array){.base = base_map(reserved, HUGE_PAGE, PROT_NONE),
                               .size = size,
                               .max = max,
                               .reserved = reserved};
}

void fr_array_release(struct fr_array *array)
{
    if (array->base)
        base_unmap(array->base, array->reserved);
    *array = (struct fr_array){0};
}

/* `committed` counts whole elements, so the accessible part is recovered by rounding up to whole pages again. */
size_t fr_array_bytes(const struct fr_array *array)
{
    /* Any thread may ask while the writer grows it. */
    return whole_pages(__atomic_load_n(&array->committed, __ATOMIC_RELAXED) * array->size);
}

void fr_array_grow(struct fr_array *array, size_t len)
{
    assert(len <= array->max);
    if (len <= array->committed)
        return;
    size_t old = fr_array_bytes(array);
    size_t step = whole_pages(len * array->size) - old;
    if (step < old / 8)
        step = whole_pages(old / 8);
    size_t bytes = step < array->reserved - old ? old + step : array->reserved;
    if (mprotect(array->base + old, bytes - old, PROT_READ | PROT_WRITE))
        base_out_of_memory("an array that grows", bytes - old);
    if (bytes > HUGE_PAGE)
        (void)madvise(array->base, bytes, MADV_HUGEPAGE); /* advice: a kernel without them is slower, not wrong */
    size_t committed = bytes / array->size < array->max ? bytes / array->size : array->max;
    __atomic_store_n(&array->committed, committed, __ATOMIC_RELAXED);
    assert(fr_array_bytes(array) == bytes);
}
