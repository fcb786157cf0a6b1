#include <errno.h>

#include "call.h"
#include "endpoint.h"
#include "net.h"
#include "nlbapi.h"
#include "package.h"
#include "srpc_intf.h"
#include "srpc_service.h"

namespace srpc {

namespace {

/// How long a call may take that says nothing, or nonsense.
int32_t patience(int32_t timeout) { return timeout > 0 ? timeout : 800; }

/// A datagram there and one back, which is a whole answer.
int by_udp(const sockaddr_in &address, const char *request, size_t size, std::string &answer,
           CheckPkgLenFunc check, int32_t timeout) {
    const int ended = msec::compat::udp_call(address, request, size, answer, timeout);
    if (ended != 0) return ended;
    const int32_t whole = check(&answer[0], static_cast<int32_t>(answer.size()));
    if (whole <= 0 || static_cast<size_t>(whole) > answer.size()) return msec::compat::NET_CHECK;
    answer.resize(static_cast<size_t>(whole));
    return 0;
}

}  // namespace

CProxyBase::CProxyBase() : m_proto_type(PROTO_TYPE_PB) { SetEndPoint(std::string()); }

CProxyBase::CProxyBase(const std::string &endpoint) : m_proto_type(PROTO_TYPE_PB) {
    SetEndPoint(endpoint);
}

void CProxyBase::SetEndPoint(const std::string &endpoint) {
    const msec::compat::address address = msec::compat::address_of(endpoint);
    m_endpoint = endpoint;
    m_address = address.where;
    m_port_type = address.is_udp ? PORT_TYPE_UDP : PORT_TYPE_TCP;
    m_endpoint_type = address.is_one                          ? ENDPOINT_TYPE_ADDR
                      : endpoint.find('.') == std::string::npos ||
                              endpoint.find(':') != std::string::npos
                          ? ENDPOINT_TYPE_UNKOWN
                          : ENDPOINT_TYPE_NLB;
}

int32_t CProxyBase::GetRoute(struct sockaddr_in &address, int32_t &type) {
    if (m_endpoint_type == ENDPOINT_TYPE_ADDR) {
        address = m_address;
        type = m_port_type;
        return 0;
    }
    if (m_endpoint_type != ENDPOINT_TYPE_NLB) return SRPC_ERR_INVALID_ENDPOINT;
    struct routeid route;
    if (getroutebyname(m_endpoint.c_str(), &route) != 0) return SRPC_ERR_GET_ROUTE_FAILED;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = route.ip;
    address.sin_port = htons(route.port);
    type = route.type;
    return 0;
}

void CProxyBase::UpdateRoute(struct sockaddr_in &address, int32_t failed, int32_t cost) {
    if (m_endpoint_type != ENDPOINT_TYPE_NLB) return;
    updateroute(m_endpoint.c_str(), address.sin_addr.s_addr, failed, cost);
}

CSrpcProxy::CSrpcProxy() : m_coloring(false), m_check(NULL), m_fret(0), m_sret(0) { Ended(0); }

CSrpcProxy::CSrpcProxy(const std::string &endpoint)
    : CProxyBase(endpoint), m_coloring(false), m_check(NULL), m_fret(0), m_sret(0) {
    Ended(0);
}

int32_t CSrpcProxy::Ended(int32_t code, const std::string &text) {
    m_fret = code;
    m_text = text.empty() ? std::string(errmsg(code)) : text;
    return code;
}

void CSrpcProxy::GetResult(int32_t &fret, int32_t &sret) const {
    fret = m_fret;
    sret = m_sret;
}

int32_t CSrpcProxy::Serialize(uint64_t &sequence, const Message &request, std::string &package) {
    if (m_method.empty()) return Ended(SRPC_ERR_INVALID_METHOD_NAME);
    std::string body;
    const int32_t code = msec::compat::body_of(request, body);
    if (code != 0) return Ended(code, request.InitializationErrorString());
    if (sequence == 0) sequence = newseq();
    const uint64_t color_id = msec::compat::hash_of(m_method);
    CRpcHead head;
    head.set_sequence(sequence);
    head.set_coloring(m_coloring ? 1 : 0);
    head.set_color_id(color_id);
    head.set_flow_id(color_id ^ sequence);
    // What a request sends out belongs to it.
    CRpcMsgBase *current =
        dynamic_cast<CRpcMsgBase *>(SPP_SYNCFRAME::CSyncFrame::Instance()->GetCurrentMsg());
    if (current != NULL) {
        head.set_flow_id(current->GetRpcHead().flow_id());
        if (current->GetRpcHead().coloring() != 0) head.set_coloring(1);
    }
    head.set_caller(m_caller.empty() ? SrpcServiceName() : m_caller);
    head.set_method_name(m_method);
    return Ended(msec::compat::pack(head, body, package));
}

int32_t CSrpcProxy::Serialize(char *&package, int32_t &length, uint64_t &sequence,
                              const Message &request) {
    std::string bytes;
    const int32_t code = Serialize(sequence, request, bytes);
    if (code != 0) return code;
    char *copy = static_cast<char *>(malloc(bytes.size()));
    if (copy == NULL) return Ended(SRPC_ERR_NO_MEMORY);
    memcpy(copy, bytes.data(), bytes.size());
    package = copy;
    length = static_cast<int32_t>(bytes.size());
    return 0;
}

int32_t CSrpcProxy::DeSerialize(const char *package, int32_t length, Message &response,
                                uint64_t &sequence, bool check_sequence) {
    m_sret = 0;
    CRpcHead head;
    const char *body = NULL;
    size_t body_size = 0;
    const size_t size = length < 0 ? 0 : static_cast<size_t>(length);
    int32_t code = msec::compat::unpack(package, size, head, body, body_size);
    if (code != 0) return Ended(code);
    if (check_sequence && head.sequence() != sequence) return Ended(SRPC_ERR_INVALID_SEQUENCE);
    sequence = head.sequence();
    m_sret = head.result();
    if (head.err() != 0) {
        Ended(head.err(), head.err_msg());
        return SRPC_ERR_BACKEND;
    }
    code = msec::compat::read_body(body, body_size, response);
    return Ended(code);
}

int32_t CSrpcProxy::DeSerialize(const std::string &package, Message &response, uint64_t &sequence,
                                bool check_sequence) {
    if (package.size() > INT32_MAX) return Ended(SRPC_ERR_INVALID_PKG);
    return DeSerialize(package.data(), static_cast<int32_t>(package.size()), response, sequence,
                       check_sequence);
}

int32_t CSrpcProxy::CheckPkgLen(void *buffer, int32_t length) {
    return SrpcCheckPkgLen(buffer, length);
}

int32_t CSrpcProxy::CallMethod(const char *request, int32_t request_length, char *&response,
                               int32_t &response_length, int32_t timeout) {
    m_sret = 0;
    if (request == NULL || request_length <= 0) return Ended(SRPC_ERR_PARA_ERROR);
    struct sockaddr_in address;
    int32_t type = 0;
    const int32_t routed = GetRoute(address, type);
    if (routed != 0) return Ended(routed);
    const CheckPkgLenFunc check = m_check == NULL ? SrpcCheckPkgLen : m_check;
    const size_t size = static_cast<size_t>(request_length);
    const int64_t begun_ms = msec::compat::monotonic_ms();
    std::string answer;
    errno = 0;
    const int ended = type == PORT_TYPE_UDP
                          ? by_udp(address, request, size, answer, check, patience(timeout))
                          : msec::compat::tcp_call(address, request, size, answer, check,
                                                   patience(timeout));
    const bool late = ended != 0 && errno == ETIME;
    const int64_t cost_ms = msec::compat::monotonic_ms() - begun_ms;
    UpdateRoute(address, ended == 0 ? 0 : 1, static_cast<int32_t>(cost_ms));
    if (late) return Ended(SRPC_ERR_RECV_TIMEOUT);
    if (ended == msec::compat::NET_CHECK) {
        return Ended(SRPC_ERR_SEND_RECV_FAILED, "the answer is not well formed");
    }
    if (ended == msec::compat::NET_NO_MEMORY) return Ended(SRPC_ERR_NO_MEMORY);
    if (ended != 0) return Ended(SRPC_ERR_SEND_RECV_FAILED);
    char *copy = static_cast<char *>(malloc(answer.empty() ? 1 : answer.size()));
    if (copy == NULL) return Ended(SRPC_ERR_NO_MEMORY);
    memcpy(copy, answer.data(), answer.size());
    response = copy;
    response_length = static_cast<int32_t>(answer.size());
    return Ended(0);
}

int32_t CSrpcProxy::CallMethod(const Message &request, Message &response, int32_t timeout) {
    m_sret = 0;
    if (m_method.empty()) return Ended(SRPC_ERR_INVALID_METHOD_NAME);
    if (m_endpoint_type == ENDPOINT_TYPE_UNKOWN) return Ended(SRPC_ERR_INVALID_ENDPOINT);
    msec::compat::wanted asked = {};
    asked.target = m_endpoint;
    if (m_endpoint_type == ENDPOINT_TYPE_ADDR) {
        asked.target = msec::compat::address_of(m_endpoint).text;
        if (m_port_type == PORT_TYPE_UDP) asked.target += "@udp";
    }
    asked.method = m_method;
    asked.timeout_ms = patience(timeout);
    asked.dyed = m_coloring;
    asked.caller = m_caller;
    asked.tells_timeouts = true;
    const int32_t packed = msec::compat::body_of(request, asked.body);
    if (packed != 0) return Ended(packed, request.InitializationErrorString());
    const msec::compat::answer answer = msec::compat::call(asked);
    m_sret = answer.result;
    if (answer.code != 0) {
        Ended(answer.code, answer.text);
        return answer.answered ? static_cast<int32_t>(SRPC_ERR_BACKEND) : answer.code;
    }
    return Ended(msec::compat::read_body(answer.body.data(), answer.body.size(), response));
}

}  // namespace srpc
