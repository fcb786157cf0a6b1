// Connections that are kept for the next request to the same peer.

#ifndef MSEC_COMPAT_KEPT_H
#define MSEC_COMPAT_KEPT_H

#include <netinet/in.h>

#include "net.h"

namespace msec {
namespace compat {

/// A connection to that peer, which was still alive a moment ago; -1 if none is kept.
int take_kept(const sockaddr_in &peer);

/// Keeps a connection for a minute. The oldest to that peer is closed where there are too many.
void keep(const sockaddr_in &peer, int fd);

/// A new connection; -1 with errno, and `code` is NET_SOCKET or NET_CONNECT.
int connect_to(const sockaddr_in &peer, const limit &end, int &code);

}  // namespace compat
}  // namespace msec

#endif
