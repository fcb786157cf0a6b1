// Services: the message that a request becomes, and who knows the methods of a plugin.

#ifndef MSEC_COMPAT_SRPC_SERVICE_H
#define MSEC_COMPAT_SRPC_SERVICE_H

#include <memory>

#include "SyncFrame.h"
#include "srpc_channel.h"
#include "srpc_log.h"

namespace srpc {

/// A request while a method works on it: the base of the generated `C<Service>Msg`, an object a
/// request.
class CRpcMsgBase : public SPP_SYNCFRAME::CSyncMsg, public CRpcCtrl {
public:
    CRpcMsgBase() : m_request(NULL), m_response(NULL), m_proto_type(PROTO_TYPE_PB) {}
    virtual ~CRpcMsgBase() {}

    /// Another one of the same class, for a request.
    virtual CRpcMsgBase *New() = 0;

    /// What all log lines of this request carry.
    CLogOption &GetLogOption() { return msec::compat::log_options(); }
    /// The head of the request.
    CRpcHead &GetRpcHead() { return m_head; }
    void SetRpcHead(const CRpcHead &head) { m_head = head; }
    /// Always PROTO_TYPE_PB: JSON has become a message before a method sees it.
    int GetProtoType() { return m_proto_type; }
    void SetProtoType(int type) { m_proto_type = type; }

    CRpcHead m_head;
    /// The message that came, as long as the method runs.
    const Message *m_request;
    /// The message that goes.
    Message *m_response;

private:
    int m_proto_type;
};

/// Knows the services of a plugin.
class CMethodManager {
public:
    static CMethodManager *Instance();

    /// Has calls of the methods of `service` answered by it, with a `message->New()` for each
    /// request as controller. Both are the manager's from now on. In spp_handle_init.
    ///
    /// Errors: -1 one of them is NULL, or a service of that name is there already.
    int32_t RegisterService(Service *service, CRpcMsgBase *message);

    /// A service, and what its requests become.
    struct Registered {
        std::unique_ptr<Service> service;
        std::unique_ptr<CRpcMsgBase> message;
    };
    /// All of them.
    const std::vector<Registered> &Services() const { return m_services; }

private:
    CMethodManager() {}
    std::vector<Registered> m_services;
};

}  // namespace srpc

#endif
