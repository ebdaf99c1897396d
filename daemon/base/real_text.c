/*
 * real_text.c -- a double as the shortest decimal that reads back as the same double.
 *
 * 15 digits are enough for what people write, 17 for every double.
 */
#include "freshet/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *fr_real_text(double value, char *room)
{
    if (isnan(value))
        return strcpy(room, "NaN");
    if (isinf(value))
        return strcpy(room, value > 0 ? "+Inf" : "-Inf");
    if (value == floor(value) && fabs(value) < 0x1p63) {
        snprintf(room, FR_REAL_TEXT_ROOM, "%.0f", value);
        return room;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(room, FR_REAL_TEXT_ROOM, "%.*g", digits, value);
        if (strtod(room, NULL) == value)
            break;
    }
    return room;
}
