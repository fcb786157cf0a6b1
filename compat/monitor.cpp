#include "monitor.h"

#include <stdio.h>

#include <msec.h>

namespace msec {
namespace compat {

namespace {

/// A name with its prefix, of at most 127 bytes.
struct attribute {
    char name[128];

    attribute(const char *prefix, const char *rest) {
        snprintf(name, sizeof name, "%s%s", prefix, rest == nullptr ? "" : rest);
    }
};

}  // namespace

void attribute_add(const char *prefix, const char *name, uint32_t value) {
    msec_metric_add(attribute(prefix, name).name, value, nullptr, 0);
}

void attribute_set(const char *prefix, const char *name, uint32_t value) {
    msec_metric_set(attribute(prefix, name).name, value, nullptr, 0);
}

}  // namespace compat
}  // namespace msec
