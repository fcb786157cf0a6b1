// Endpoints as texts: `ip:port`, maybe with `@tcp` or `@udp` behind it.

#ifndef MSEC_COMPAT_ENDPOINT_H
#define MSEC_COMPAT_ENDPOINT_H

#include <netinet/in.h>

#include <string>

namespace msec {
namespace compat {

/// What a text says.
struct address {
    /// Whether it is an address at all.
    bool is_one;
    bool is_udp;
    /// `ip:port`.
    std::string text;
    sockaddr_in where;
};

/// Reads a text. What stands behind `@` and is not `udp` means TCP.
address address_of(const std::string &text);

}  // namespace compat
}  // namespace msec

#endif
