#include "call.h"

#include <map>
#include <mutex>

#include <msec.h>

#include "monitor.h"
#include "net.h"
#include "package.h"
#include "runtime.h"
#include "srpc_comm.h"
#include "srpc_intf.h"

namespace msec {
namespace compat {

namespace {

/// Clients by what they call. They stay, since what is called once is called again; whoever calls
/// more addresses than this has the others for one call each.
const size_t CLIENTS_MAX = 1024;

/// A client for one call, or for all to the same target.
class client {
public:
    explicit client(const std::string &target) : client_(nullptr), ours_(false), code_(0) {
        static std::mutex mutex;
        // Never destroyed: coroutines may call while the process ends.
        static std::map<std::string, msec_client *> &kept =
            *new std::map<std::string, msec_client *>;
        const msec_engine *on = engine();
        if (on == nullptr) {
            code_ = MSEC_ESYSTEM_ERROR;
            return;
        }
        const std::lock_guard<std::mutex> lock(mutex);
        const auto found = kept.find(target);
        if (found != kept.end()) {
            client_ = found->second;
            return;
        }
        code_ = msec_client_new(on, target.c_str(), &client_);
        if (code_ != MSEC_OK) return;
        ours_ = kept.size() >= CLIENTS_MAX;
        if (!ours_) kept[target] = client_;
    }
    ~client() {
        if (ours_) msec_client_free(client_);
    }
    client(const client &) = delete;
    client &operator=(const client &) = delete;

    /// Why there is none; 0 if there is one.
    int32_t code() const { return code_; }
    const msec_client *get() const { return client_; }

private:
    msec_client *client_;
    bool ours_;
    int32_t code_;
};

/// A code as old code knows it. Of those that it knows, an answer is what it says.
int32_t old_code(const answer &ended, bool tells_timeouts) {
    if (ended.answered && ended.code > MSEC_EOVERLOADED) return ended.code;
    switch (ended.code) {
        case MSEC_ETIMEOUT:
        case MSEC_EDEADLINE_EXCEEDED:
        case MSEC_ECANCELLED:
            return tells_timeouts ? MSEC_ERECV_TIMEOUT : MSEC_ESEND_RECV_FAILED;
        case MSEC_ENETWORK:
        case MSEC_EOVERLOADED:
        case MSEC_EDRAINING:
        case MSEC_ERATE_LIMITED:
        case MSEC_ENO_HEALTHY_INSTANCE:
            return MSEC_ESEND_RECV_FAILED;
        default:
            return ended.code;
    }
}

/// The range of a time, as the original named it.
const char *range_of(int64_t cost_ms) {
    static const struct {
        int64_t below_ms;
        const char *name;
    } ranges[] = {{1, "0~1ms"},       {2, "1~2ms"},       {5, "2~5ms"},      {10, "5~10ms"},
                  {20, "10~20ms"},    {50, "20~50ms"},    {100, "50~100ms"}, {200, "100~200ms"},
                  {500, "200~500ms"}, {1000, "500~1s"}};
    for (size_t index = 0; index < sizeof ranges / sizeof ranges[0]; index++) {
        if (cost_ms < ranges[index].below_ms) return ranges[index].name;
    }
    return "1s+";
}

/// Counts a call by the names that the original gave to its own.
void count(const wanted &asked, int32_t code, int64_t cost_ms) {
    const char *const prefix = "frm.rpc ";
    if (code == MSEC_ENO_ROUTE || code == MSEC_EINVALID_ENDPOINT) {
        attribute_add(prefix, "get route failed [" + asked.target + "]", 1);
    }
    const std::string called = "call [" + asked.target + ":" + asked.method + "]";
    attribute_add(prefix, called, 1);
    const std::string ended = code == 0 ? " success" : std::string(" fail:") + srpc::errmsg(code);
    attribute_add(prefix, called + ended, 1);
    attribute_add(prefix, "call [" + asked.target + "] cost [" + range_of(cost_ms) + "]", 1);
}

answer failed(int32_t code) {
    answer ended = {};
    ended.code = code;
    ended.answered = msec_error_answered();
    ended.text = msec_error_text();
    return ended;
}

answer begin(const wanted &asked) {
    const client client(asked.target);
    if (client.code() != MSEC_OK) return failed(client.code());
    msec_call_options options = MSEC_CALL_OPTIONS_INIT;
    options.timeout_ms = static_cast<uint32_t>(asked.timeout_ms);
    options.flags = asked.dyed ? MSEC_CALL_DYED : 0;
    options.caller = asked.caller.empty() ? nullptr : asked.caller.c_str();
    msec_reply *reply = nullptr;
    int32_t code;
    answer ended = {};
    {
        const waiting while_it_waits;
        code = msec_client_call(client.get(), asked.method.c_str(), asked.body.data(),
                                asked.body.size(), &options, &reply);
        // Before others run on this thread, and fail in their own ways.
        if (code != MSEC_OK) ended = failed(code);
    }
    if (code != MSEC_OK) {
        const int32_t code_of_old = old_code(ended, asked.tells_timeouts);
        ended.answered = ended.answered && code_of_old == ended.code;
        ended.code = code_of_old;
        return ended;
    }
    const msec_slice body = msec_reply_body(reply);
    ended.body.assign(body.data == nullptr ? "" : body.data, body.size);
    ended.result = msec_reply_result(reply);
    msec_reply_free(reply);
    return ended;
}

}  // namespace

answer call(const wanted &asked) {
    const int64_t begun_ms = monotonic_ms();
    const answer ended = begin(asked);
    count(asked, ended.code, monotonic_ms() - begun_ms);
    return ended;
}

}  // namespace compat
}  // namespace msec

namespace srpc {

int32_t CallMethod(const std::string &service_name, const std::string &method_name,
                   const Message &request, Message &response, int32_t timeout, int32_t) {
    msec::compat::wanted asked = {};
    asked.target = service_name;
    asked.method = method_name;
    asked.timeout_ms = timeout > 0 ? timeout : 800;
    const int32_t packed = msec::compat::body_of(request, asked.body);
    if (packed != 0) return packed;
    const msec::compat::answer answer = msec::compat::call(asked);
    if (answer.code == MSEC_EINVALID_ENDPOINT) return SRPC_ERR_GET_ROUTE_FAILED;
    if (answer.code != 0) return answer.code;
    return msec::compat::read_body(answer.body.data(), answer.body.size(), response);
}

}  // namespace srpc
