// What the business counts and measures of itself.

#ifndef MSEC_METRIC_HPP
#define MSEC_METRIC_HPP

#include <cstdint>
#include <initializer_list>

#include "../msec.h"

namespace msec {

/// What the business reports of itself, in one line and without registering anything.
namespace metric {

/// A key and a value.
using labels = std::initializer_list<msec_label>;

inline void add(const char *name, uint64_t amount = 1, labels labels = {}) {
    msec_metric_add(name, amount, labels.begin(), labels.size());
}
inline void set(const char *name, int64_t value, labels labels = {}) {
    msec_metric_set(name, value, labels.begin(), labels.size());
}
inline void record(const char *name, uint64_t value, labels labels = {}) {
    msec_metric_record(name, value, labels.begin(), labels.size());
}

}  // namespace metric

}  // namespace msec

#endif
