// The server, as functions of old plugins are given it.

#ifndef MSEC_COMPAT_SERVERBASE_H
#define MSEC_COMPAT_SERVERBASE_H

#include <string>

#include "tlog.h"
#include "tstat.h"

#define SERVER_TYPE_PROXY 1
#define SERVER_TYPE_WORKER 2
#define SERVER_TYPE_CTRL 4

namespace spp {
namespace comm {

/// The server that the plugin is in.
class CServerBase {
public:
    CTLog log_;
    CTStat stat_;

    virtual ~CServerBase() {}

    /// SERVER_TYPE_WORKER: there is no other process that a plugin is loaded by.
    int servertype() { return SERVER_TYPE_WORKER; }
    /// `First.second`.
    const std::string &servicename();
};

}  // namespace comm
}  // namespace spp

#endif
