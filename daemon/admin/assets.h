/*
 * assets.h -- the files of the page (page/), as the build has put them into the program (embed.cmake).
 */
#ifndef FR_ASSETS_H
#define FR_ASSETS_H

#include <stddef.h>

struct asset {
    const char *path, *type; /* "/page/page.css", "text/css; charset=utf-8"; the page itself is "/" */
    const unsigned char *bytes;
    size_t len;
};
extern const struct asset assets[];
extern const size_t assets_len;

#endif
