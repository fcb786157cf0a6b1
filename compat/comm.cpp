#include <random>

#include <msec.h>

#include "runtime.h"
#include "srpc_comm.h"

namespace srpc {

const char *errmsg(int32_t code) { return msec_strerror(code); }

uint64_t newseq() {
    static thread_local std::mt19937 random(std::random_device{}());
    for (;;) {
        const uint32_t sequence = static_cast<uint32_t>(random());
        if (sequence != 0) return sequence;
    }
}

const std::string &SrpcServiceName() { return msec::compat::service_name(); }

}  // namespace srpc
