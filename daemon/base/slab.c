/*
 * slab.c -- blocks of many sizes for one writer.
 *
 *     class      1 2 3 4 5 6 8 10 13 17 22 29 38 ...  units; about a third apart
 *     region     [ block | block | ......          ]  carved from the front; what a class gets back goes to its free list
 *
 * The first region is 256 KiB, so that small states stay small; later ones are 4 MiB and ask for huge pages. A block over 1 MiB is
 * a mapping of its own and goes back to the system.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "freshet/alloc.h"

enum { CLASSES_MAX = 64 };
#define REGION_FIRST ((size_t)256 << 10)
#define REGION ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define OWN_MAPPING ((size_t)1 << 20)

struct region {
    void *mapping;
    size_t bytes;
};

struct fr_slab {
    size_t unit;
    size_t sizes[CLASSES_MAX]; /* bytes, rising */
    size_t classes;
    void *free[CLASSES_MAX]; /* each block's first word leads to the next */
    char *at, *end;          /* of the region being carved */
    struct region *regions;
    size_t regions_len, regions_cap;
    _Atomic size_t taken, mapped;
};

static void *map(struct fr_slab *slab, size_t bytes)
{
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapping == MAP_FAILED) {
        fprintf(stderr, "freshet: out of memory: the system refused %zu bytes\n", bytes);
        exit(70);
    }
    atomic_fetch_add_explicit(&slab->mapped, bytes, memory_order_relaxed);
    return mapping;
}

/* A region whose first byte is 2 MiB aligned, so that it can be made of huge pages. */
static void region_add(struct fr_slab *slab)
{
    size_t bytes = slab->regions_len == 0 ? REGION_FIRST : REGION;
    size_t extra = bytes == REGION ? HUGE_PAGE : 0;
    char *mapping = map(slab, bytes + extra), *begin = mapping;

    if (extra) {
        begin = (char *)(((uintptr_t)mapping + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
        if (begin > mapping)
            munmap(mapping, (size_t)(begin - mapping));
        if (begin + bytes < mapping + bytes + extra)
            munmap(begin + bytes, (size_t)(mapping + bytes + extra - (begin + bytes)));
        atomic_fetch_sub_explicit(&slab->mapped, extra, memory_order_relaxed);
        madvise(begin, bytes, MADV_HUGEPAGE);
    }
    fr_reserve((void **)&slab->regions, &slab->regions_cap, slab->regions_len + 1, sizeof(*slab->regions));
    slab->regions[slab->regions_len++] = (struct region){begin, bytes};
    slab->at = begin;
    slab->end = begin + bytes;
}

struct fr_slab *fr_slab_new(size_t unit)
{
    struct fr_slab *slab = fr_zalloc(1, sizeof(*slab));

    assert(unit == 16 || unit == 32 || unit == 64);
    slab->unit = unit;
    for (size_t units = 1; units * unit <= OWN_MAPPING && slab->classes < CLASSES_MAX;
         units += units / 3 ? units / 3 : 1)
        slab->sizes[slab->classes++] = units * unit;
    return slab;
}

void fr_slab_free(struct fr_slab *slab)
{
    if (!slab)
        return;
    for (size_t i = 0; i < slab->regions_len; i++)
        munmap(slab->regions[i].mapping, slab->regions[i].bytes);
    free(slab->regions);
    free(slab);
}

/* The smallest class that holds `size`; `classes` if none does. */
static size_t class_of(const struct fr_slab *slab, size_t size)
{
    size_t low = 0, high = slab->classes;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slab->sizes[middle] < size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t own_mapping(size_t size)
{
    return (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

size_t fr_slab_room(const struct fr_slab *slab, size_t size)
{
    size_t class = class_of(slab, size);

    return class < slab->classes ? slab->sizes[class] : own_mapping(size);
}

/* What is left of a region when a block does not fit: to the free lists of the classes it can serve. */
static void use_up(struct fr_slab *slab)
{
    for (size_t class = slab->classes; class-- > 0;)
        while ((size_t)(slab->end - slab->at) >= slab->sizes[class]) {
            *(void **)(void *)slab->at = slab->free[class];
            slab->free[class] = slab->at;
            slab->at += slab->sizes[class];
        }
}

void *fr_slab_take(struct fr_slab *slab, size_t size)
{
    size_t class = class_of(slab, size), room;
    void *block;

    if (class == slab->classes) {
        room = own_mapping(size);
        block = map(slab, room);
        madvise(block, room, MADV_HUGEPAGE);
    } else {
        room = slab->sizes[class];
        if (!slab->free[class] && (size_t)(slab->end - slab->at) < room) {
            use_up(slab);
            if (!slab->free[class])
                region_add(slab);
        }
        block = slab->free[class];
        if (block) {
            slab->free[class] = *(void **)block;
        } else {
            block = slab->at;
            slab->at += room;
        }
    }
    atomic_fetch_add_explicit(&slab->taken, room, memory_order_relaxed);
    return block;
}

void fr_slab_give(struct fr_slab *slab, void *block, size_t size)
{
    size_t class = class_of(slab, size), room = fr_slab_room(slab, size);

    atomic_fetch_sub_explicit(&slab->taken, room, memory_order_relaxed);
    if (class == slab->classes) {
        munmap(block, room);
        atomic_fetch_sub_explicit(&slab->mapped, room, memory_order_relaxed);
        return;
    }
    *(void **)block = slab->free[class];
    slab->free[class] = block;
}

size_t fr_slab_bytes(const struct fr_slab *slab)
{
    return atomic_load_explicit(&slab->taken, memory_order_relaxed);
}

size_t fr_slab_mapped(const struct fr_slab *slab)
{
    return atomic_load_explicit(&slab->mapped, memory_order_relaxed);
}
