// Attributes: numbers that old code reports of itself, on /metrics under the names that they had.
//
//     ATTR_REPORT("orders")            one more: usr.orders
//     ATTR_REPORT_INC("bytes", 640)    so many more
//     ATTR_REPORT_SET("stock", 17)     the last value counts
//
// A name is cut so that it has at most 127 bytes with its prefix. An attribute sticks to one of the
// three. From any thread of control; never waits.

#ifndef MSEC_COMPAT_MONITOR_H
#define MSEC_COMPAT_MONITOR_H

#include <stdint.h>

#include <string>

namespace msec {
namespace compat {

void attribute_add(const char *prefix, const char *name, uint32_t value);
void attribute_set(const char *prefix, const char *name, uint32_t value);

inline void attribute_add(const char *prefix, const std::string &name, uint32_t value) {
    attribute_add(prefix, name.c_str(), value);
}

inline void attribute_set(const char *prefix, const std::string &name, uint32_t value) {
    attribute_set(prefix, name.c_str(), value);
}

}  // namespace compat
}  // namespace msec

/// The name as it is.
#define MONITOR(name) ::msec::compat::attribute_add("", name, 1)
#define MONITOR_INC(name, value) ::msec::compat::attribute_add("", name, value)
#define MONITOR_SET(name, value) ::msec::compat::attribute_set("", name, value)

/// Of the business: usr.
#define ATTR_REPORT(name) ::msec::compat::attribute_add("usr.", name, 1)
#define ATTR_REPORT_INC(name, value) ::msec::compat::attribute_add("usr.", name, value)
#define ATTR_REPORT_SET(name, value) ::msec::compat::attribute_set("usr.", name, value)

/// Of what stands between the business and the engine: frm.rpc
#define RPC_REPORT(name) ::msec::compat::attribute_add("frm.rpc ", name, 1)
#define RPC_REPORT_INC(name, value) ::msec::compat::attribute_add("frm.rpc ", name, value)
#define RPC_REPORT_SET(name, value) ::msec::compat::attribute_set("frm.rpc ", name, value)

#endif
