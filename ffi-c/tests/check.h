/* What the programs of C here have in common: a check that says what is not so, and where. */

#include <stdio.h>
#include <stdlib.h>

#include "msec.h"

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,           \
                    msec_error_text());                                                           \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)
