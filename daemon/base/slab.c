/*
 * slab.c -- blocks of many sizes for one writer.
 *
 *     class      1 2 3 4 5 6 8 10 13 17 22 29 38 ...    units, a third apart, up to 1 MiB
 *       or       1 2 3 ... 31 32 34 36 ... 48 51 54 ...  a sixteenth apart
 *     region     [ block | block | block | ......... ]  carved from the front
 *     given      class -> block -> block -> NULL        each class keeps what it gets back
 *
 * The first region is 256 KiB, so that a small state stays small; later ones are 4 MiB of huge pages. What is left of
 * a region when the next block does not fit goes to the classes it can serve. A block over 1 MiB is a mapping
 * of its own, and goes back to the system.
 *
 * Invariant: every byte of a region is taken, on one list of given blocks, or not yet carved. Under
 * AddressSanitizer all but the taken ones (and the links of the lists) may not be touched.
 */
#include "freshet/alloc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base_private.h"

enum { CLASSES_MAX = 192, SMALL_PAGE = 4096 };
#define REGION_FIRST ((size_t)256 << 10)
#define REGION ((size_t)4 << 20)
#define CLASS_LARGEST ((size_t)1 << 20)

struct mapping {
    void *at;
    size_t size;
};

struct given {
    struct given *next;
};

struct fr_slab {
    unsigned unit_bits;
    size_t sizes[CLASSES_MAX]; /* bytes, rising */
    size_t classes, narrow;    /* the first `narrow` are one unit apart */
    struct given *given[CLASSES_MAX];
    char *at, *end; /* what is not yet carved */
    struct mapping *regions, *own;
    size_t regions_len, regions_cap, own_len, own_cap;
    _Atomic size_t taken, mapped; /* written by the writer only */
};

/* One writer: it needs no locked instruction to add. */
static void add(_Atomic size_t *count, size_t by)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + by, memory_order_relaxed);
}

struct fr_slab *fr_slab_new(size_t unit, size_t parts)
{
    struct fr_slab *slab = fr_zalloc(1, sizeof(*slab));

    assert(unit == 16 || unit == 32 || unit == 64);
    assert(parts >= FR_SLAB_COARSE && parts <= FR_SLAB_FINE);
    slab->unit_bits = (unsigned)__builtin_ctzl(unit);
    slab->narrow = 2 * parts;
    for (size_t units = 1; units * unit < CLASS_LARGEST; units += units / parts ? units / parts : 1)
        slab->sizes[slab->classes++] = units * unit;
    slab->sizes[slab->classes++] = CLASS_LARGEST;
    assert(slab->classes <= CLASSES_MAX);
    return slab;
}

static void unmap(struct mapping mapping)
{
    base_unpoison(mapping.at, mapping.size);
    base_unmap(mapping.at, mapping.size);
}

void fr_slab_free(struct fr_slab *slab)
{
    if (!slab)
        return;
    for (size_t i = 0; i < slab->regions_len; i++)
        unmap(slab->regions[i]);
    for (size_t i = 0; i < slab->own_len; i++)
        unmap(slab->own[i]);
    free(slab->regions);
    free(slab->own);
    free(slab);
}

/* The smallest class that holds `size`; slab->classes if none does. */
static size_t class_of(const struct fr_slab *slab, size_t size)
{
    size_t low = slab->narrow, high = slab->classes;

    if (size <= low << slab->unit_bits)
        return size ? (size - 1) >> slab->unit_bits : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slab->sizes[middle] < size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t own_room(size_t size)
{
    assert(size <= SIZE_MAX - HUGE_PAGE);
    return (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

size_t fr_slab_room(const struct fr_slab *slab, size_t size)
{
    size_t class = class_of(slab, size);

    return class < slab->classes ? slab->sizes[class] : own_room(size);
}

static void give_to(struct fr_slab *slab, size_t class, void *block)
{
    struct given *given = block;

    given->next = slab->given[class];
    slab->given[class] = given;
    base_poison(given + 1, slab->sizes[class] - sizeof(*given));
}

/* What is left of the region goes to the classes it can serve, the largest first. */
static void use_up_region(struct fr_slab *slab)
{
    for (size_t class = slab->classes; class-- > 0;)
        while ((size_t)(slab->end - slab->at) >= slab->sizes[class]) {
            char *block = slab->at;
            slab->at += slab->sizes[class];
            base_unpoison(block, sizeof(struct given));
            give_to(slab, class, block);
        }
    assert(slab->at == slab->end); /* regions are whole units, and class 0 is one unit */
}

static void add_region(struct fr_slab *slab)
{
    size_t size = slab->regions_len == 0 ? REGION_FIRST : REGION;
    char *at = base_map(size, size == REGION ? HUGE_PAGE : SMALL_PAGE, PROT_READ | PROT_WRITE);

    if (size == REGION)
        (void)madvise(at, size, MADV_HUGEPAGE); /* advice: a kernel without them is slower, not wrong */
    base_poison(at, size);
    fr_reserve((void **)&slab->regions, &slab->regions_cap, slab->regions_len + 1, sizeof(*slab->regions));
    slab->regions[slab->regions_len++] = (struct mapping){at, size};
    add(&slab->mapped, size);
    slab->at = at;
    slab->end = at + size;
}

static void *carve(struct fr_slab *slab, size_t class)
{
    size_t size = slab->sizes[class];

    while ((size_t)(slab->end - slab->at) < size) {
        use_up_region(slab);
        add_region(slab); /* again if the first is too small for the block */
    }
    void *block = slab->at;
    slab->at += size;
    return block;
}

static void *take_own(struct fr_slab *slab, size_t room)
{
    void *block = base_map(room, HUGE_PAGE, PROT_READ | PROT_WRITE);

    (void)madvise(block, room, MADV_HUGEPAGE);
    fr_reserve((void **)&slab->own, &slab->own_cap, slab->own_len + 1, sizeof(*slab->own));
    slab->own[slab->own_len++] = (struct mapping){block, room};
    add(&slab->mapped, room);
    return block;
}

void *fr_slab_take(struct fr_slab *slab, size_t size)
{
    size_t class = class_of(slab, size);

    if (class == slab->classes) {
        size_t room = own_room(size);
        add(&slab->taken, room);
        return take_own(slab, room);
    }
    struct given *given = slab->given[class];
    void *block = given;
    if (given)
        slab->given[class] = given->next;
    else
        block = carve(slab, class);
    base_unpoison(block, slab->sizes[class]);
    add(&slab->taken, slab->sizes[class]);
    return block;
}

static void give_own(struct fr_slab *slab, void *block)
{
    size_t i = 0;

    while (i < slab->own_len && slab->own[i].at != block)
        i++;
    assert(i < slab->own_len); /* not ours, or given twice */
    add(&slab->mapped, -slab->own[i].size);
    unmap(slab->own[i]);
    slab->own[i] = slab->own[--slab->own_len];
}

void fr_slab_give(struct fr_slab *slab, void *block, size_t size)
{
    size_t class = class_of(slab, size);

    add(&slab->taken, -fr_slab_room(slab, size));
    if (class == slab->classes)
        give_own(slab, block);
    else
        give_to(slab, class, block);
}

size_t fr_slab_bytes(const struct fr_slab *slab)
{
    return atomic_load_explicit(&slab->taken, memory_order_relaxed);
}

size_t fr_slab_mapped(const struct fr_slab *slab)
{
    return atomic_load_explicit(&slab->mapped, memory_order_relaxed);
}
