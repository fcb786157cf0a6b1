// Stubs of Protocol Buffers: what `Service::Stub` is given to call with.

#ifndef MSEC_COMPAT_SRPC_CHANNEL_H
#define MSEC_COMPAT_SRPC_CHANNEL_H

#include "srpc_comm.h"

namespace srpc {

/// How a call went: on the side of the caller, and of who is called.
class CRpcCtrl : public RpcController {
public:
    CRpcCtrl() : m_code(0), m_srv_ret(0), m_canceled(false) {}
    virtual ~CRpcCtrl() {}

    /// As if nothing had happened yet.
    virtual void Reset();
    virtual bool Failed() const;
    /// What went wrong; empty if nothing did.
    virtual std::string ErrorText() const;
    virtual void StartCancel();
    /// That it failed, and why: the code is SRPC_ERR_SERVICE_IMPL_FAILED unless one was set.
    virtual void SetFailed(const std::string &reason);
    virtual bool IsCanceled() const;
    /// `callback` is run at once: nothing is cancelled from outside.
    virtual void NotifyOnCancel(Closure *callback);

    /// That it failed, with a code; 0 takes that back.
    void SetFailed(int32_t code);
    void SetSuccess() { Reset(); }
    /// What the method returned, which travels to the caller beside its answer.
    void SetSrvRet(int32_t ret) { m_srv_ret = ret; }
    int32_t GetSrvRet() const { return m_srv_ret; }
    /// The code of the failure; 0 if there was none.
    int32_t GetErrCode() const { return m_code; }

private:
    int32_t m_code;
    int32_t m_srv_ret;
    bool m_canceled;
    std::string m_text;
};

/// Calls one address, `ip:port`. CallMethod suspends the coroutine, or blocks a plain thread; a
/// controller that is a CRpcCtrl is told the code, others the text.
class CRpcChannel : public RpcChannel {
public:
    explicit CRpcChannel(const std::string &endpoint) : m_endpoint(endpoint), m_timeout(1000) {}
    virtual ~CRpcChannel() {}

    /// How long calls may take, in milliseconds: 1000 unless set. 0 means 1000, too.
    void SetTimeout(uint32_t timeout) { m_timeout = timeout; }

    /// The head of the last answer.
    CRpcHead &GetResponseHead() { return m_head; }

    virtual void CallMethod(const MethodDescriptor *method, RpcController *controller,
                            const Message *request, Message *response, Closure *done) = 0;

protected:
    /// Calls, with `kind` behind the address: `@udp` or nothing.
    void Call(const char *kind, const MethodDescriptor *method, RpcController *controller,
              const Message *request, Message *response, Closure *done);

private:
    std::string m_endpoint;
    uint32_t m_timeout;
    CRpcHead m_head;
};

/// Calls by UDP: requests and answers of up to 64 KiB.
class CRpcUdpChannel : public CRpcChannel {
public:
    explicit CRpcUdpChannel(const std::string &endpoint) : CRpcChannel(endpoint) {}
    virtual void CallMethod(const MethodDescriptor *method, RpcController *controller,
                            const Message *request, Message *response, Closure *done);
};

/// Calls by TCP, on a connection that is kept.
class CRpcTcpChannel : public CRpcChannel {
public:
    explicit CRpcTcpChannel(const std::string &endpoint) : CRpcChannel(endpoint) {}
    virtual void CallMethod(const MethodDescriptor *method, RpcController *controller,
                            const Message *request, Message *response, Closure *done);
};

}  // namespace srpc

#endif
