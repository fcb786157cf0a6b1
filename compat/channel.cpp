#include "call.h"
#include "endpoint.h"
#include "package.h"
#include "srpc_channel.h"

namespace srpc {

void CRpcCtrl::Reset() {
    m_code = 0;
    m_srv_ret = 0;
    m_canceled = false;
    m_text.clear();
}

bool CRpcCtrl::Failed() const { return m_code != 0; }

std::string CRpcCtrl::ErrorText() const {
    if (m_code == 0 || !m_text.empty()) return m_text;
    // A code of the method's own has no text.
    return std::to_string(m_code) + " " + errmsg(m_code);
}

void CRpcCtrl::StartCancel() { m_canceled = true; }

bool CRpcCtrl::IsCanceled() const { return m_canceled; }

void CRpcCtrl::NotifyOnCancel(Closure *callback) {
    if (callback != NULL) callback->Run();
}

void CRpcCtrl::SetFailed(const std::string &reason) {
    if (m_code == 0) m_code = SRPC_ERR_SERVICE_IMPL_FAILED;
    m_text = reason;
}

void CRpcCtrl::SetFailed(int32_t code) {
    m_code = code;
    if (code == 0) m_text.clear();
}

namespace {

/// Tells a controller how the call went.
void tell(RpcController *controller, int32_t code, int32_t result, const std::string &text) {
    CRpcCtrl *ours = dynamic_cast<CRpcCtrl *>(controller);
    if (ours != NULL) {
        ours->Reset();
        ours->SetSrvRet(result);
        if (code != 0) ours->SetFailed(code);
    }
    if (controller != NULL && code != 0) {
        controller->SetFailed(text.empty() ? std::string(errmsg(code)) : text);
    }
}

/// Runs `done` when the call is over, however it ends.
class at_the_end {
public:
    explicit at_the_end(Closure *done) : done_(done) {}
    ~at_the_end() {
        if (done_ != NULL) done_->Run();
    }

private:
    Closure *done_;
};

}  // namespace

void CRpcChannel::Call(const char *kind, const MethodDescriptor *method,
                       RpcController *controller, const Message *request, Message *response,
                       Closure *done) {
    const at_the_end end(done);
    if (method == NULL || request == NULL || response == NULL) {
        return tell(controller, SRPC_ERR_PARA_ERROR, 0, std::string());
    }
    const msec::compat::address address = msec::compat::address_of(m_endpoint);
    if (!address.is_one) {
        return tell(controller, SRPC_ERR_INVALID_ENDPOINT, 0, std::string());
    }
    msec::compat::wanted asked = {};
    asked.target = address.text + kind;
    asked.method = method->full_name();
    asked.timeout_ms = m_timeout == 0 ? 1000 : static_cast<int32_t>(m_timeout & 0x7fffffff);
    int32_t code = msec::compat::body_of(*request, asked.body);
    if (code != 0) return tell(controller, code, 0, request->InitializationErrorString());
    const msec::compat::answer answer = msec::compat::call(asked);
    m_head.Clear();
    m_head.set_sequence(0);
    m_head.set_method_name(asked.method);
    m_head.set_err(answer.code);
    m_head.set_result(answer.result);
    m_head.set_err_msg(answer.text);
    if (answer.code != 0) return tell(controller, answer.code, 0, answer.text);
    code = msec::compat::read_body(answer.body.data(), answer.body.size(), *response);
    tell(controller, code, answer.result, std::string());
}

void CRpcUdpChannel::CallMethod(const MethodDescriptor *method, RpcController *controller,
                                const Message *request, Message *response, Closure *done) {
    Call("@udp", method, controller, request, response, done);
}

void CRpcTcpChannel::CallMethod(const MethodDescriptor *method, RpcController *controller,
                                const Message *request, Message *response, Closure *done) {
    Call("", method, controller, request, response, done);
}

}  // namespace srpc
