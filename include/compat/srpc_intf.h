// Calls: of services by their names, of addresses, and of third parties by protocols of their own.
//
// A program that only packs and unpacks, for a socket of its own, needs no more than this header:
// no engine is opened before something is called.

#ifndef MSEC_COMPAT_SRPC_INTF_H
#define MSEC_COMPAT_SRPC_INTF_H

#include "srpc_comm.h"
#include "srpc_proto.h"

namespace srpc {

/// Calls a method of a service that is found by its name, and waits: suspends the coroutine, or
/// blocks a plain thread. `timeout` is in milliseconds, and for all of it together; 0 and less mean
/// 800. It goes by UDP where the route says so; `proto` is a wish that a route to TCP overrules.
///
/// Results: 0; -15 no route; -13 whatever failed on the way, or no answer in time; -16 an answer to
/// something else; -17 an answer without the body that its type must have; -8 `request` lacks
/// required fields; -5 an answer of another type; else the code of the answer.
int32_t CallMethod(const std::string &service_name, const std::string &method_name,
                   const Message &request, Message &response, int32_t timeout = 800,
                   int32_t proto = PORT_TYPE_ALL);

/// Where calls go: a service, `First.second`, or an address, `ip:port`, `ip:port@tcp`,
/// `ip:port@udp`.
class CProxyBase {
public:
    CProxyBase();
    explicit CProxyBase(const std::string &endpoint);
    virtual ~CProxyBase() {}

    void SetEndPoint(const std::string &endpoint);
    const std::string &GetEndPoint() const { return m_endpoint; }

    /// The name that the callee sees; unless set, that of this service.
    void SetCaller(const std::string &caller) { m_caller = caller; }
    const std::string &GetCaller() const { return m_caller; }

    void SetProtoType(int type) { m_proto_type = type; }
    int GetProtoType() const { return m_proto_type; }

    /// An instance to call: its address and the kind of its port.
    ///
    /// Errors: -14 the endpoint is none; -15 no instance of it is known.
    int32_t GetRoute(struct sockaddr_in &address, int32_t &type);

    /// Tells how a call to that instance went: `failed` 0 or not, `cost` in milliseconds. Of an
    /// endpoint that is an address nothing is kept.
    void UpdateRoute(struct sockaddr_in &address, int32_t failed, int32_t cost);

protected:
    std::string m_endpoint;
    std::string m_caller;
    int m_proto_type;
    /// ENDPOINT_TYPE_...
    int m_endpoint_type;
    /// Of an endpoint that is an address.
    struct sockaddr_in m_address;
    int32_t m_port_type;
};

/// Calls an endpoint; or only packs and unpacks, where others send and receive.
class CSrpcProxy : public CProxyBase {
public:
    CSrpcProxy();
    explicit CSrpcProxy(const std::string &endpoint);

    /// `package.Service.Method`.
    void SetMethod(const std::string &method) { m_method = method; }
    /// Whether every service on the way keeps all log lines of what is called.
    void SetColoring(bool coloring) { m_coloring = coloring; }

    /// Of the last answer: `fret` is 0 or the code with which it failed, `sret` what the method
    /// returned.
    void GetResult(int32_t &fret, int32_t &sret) const;
    /// Whether the last call, or the last answer, failed.
    bool Failed() const { return m_fret != 0; }
    /// What went wrong; the text of 0 if nothing did.
    void GetErrText(std::string &text) const { text = m_text; }
    const char *GetErrText() const { return m_text.c_str(); }

    /// A request as bytes, which the caller frees with free(). `sequence` 0 is replaced by one.
    ///
    /// Errors: -8 `request` lacks required fields; -6 no method was set; -9.
    int32_t Serialize(char *&package, int32_t &length, uint64_t &sequence, const Message &request);
    int32_t Serialize(uint64_t &sequence, const Message &request, std::string &package);

    /// An answer out of bytes, and its sequence; with `check_sequence`, `sequence` is what it has
    /// to be.
    ///
    /// Errors: -1 no bytes; -3 no whole package; -4 no head; -16 another sequence; -19 it tells of
    /// a failure: see GetResult and GetErrText; -17 it lacks the body that its type must have; -5
    /// of another type.
    int32_t DeSerialize(const char *package, int32_t length, Message &response,
                        uint64_t &sequence, bool check_sequence = false);
    int32_t DeSerialize(const std::string &package, Message &response, uint64_t &sequence,
                        bool check_sequence = false);

    /// SrpcCheckPkgLen.
    int32_t CheckPkgLen(void *buffer, int32_t length);

    /// Says where answers of a third party end.
    void SetThirdCheckCb(CheckPkgLenFunc check) { m_check = check; }

    /// Sends bytes and waits for an answer, whose end the callback of SetThirdCheckCb finds;
    /// without one it is a package of SRPC. `response` is the caller's, who frees it with free().
    /// `timeout` is in milliseconds.
    ///
    /// Errors: -1; -14 the endpoint is none; -15 no route; -12 no whole answer in time; -13 all
    /// else that went wrong, also if the callback said so; -9. GetErrText tells more.
    int32_t CallMethod(const char *request, int32_t request_length, char *&response,
                       int32_t &response_length, int32_t timeout);

    /// Calls the method that was set, and waits. `timeout` is in milliseconds.
    ///
    /// Errors: -6 no method was set; -14; -15; -8 and -5 as srpc::CallMethod; -12 no answer in
    /// time; -13 all else that went wrong on the way; -16; -17; -19 the callee failed: see
    /// GetResult and GetErrText.
    int32_t CallMethod(const Message &request, Message &response, int32_t timeout);

private:
    int32_t Ended(int32_t code, const std::string &text = std::string());

    std::string m_method;
    bool m_coloring;
    CheckPkgLenFunc m_check;
    int32_t m_fret;
    int32_t m_sret;
    std::string m_text;
};

}  // namespace srpc

#endif
