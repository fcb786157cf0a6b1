#include "nlbapi.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>

#include <string>

#include <msec.h>

#include "runtime.h"

using namespace msec::compat;

// Old code that declares it by itself has these offsets.
static_assert(offsetof(routeid, ip) == 0 && offsetof(routeid, port) == 4 &&
                  offsetof(routeid, type) == 8 && sizeof(routeid) == 12,
              "struct routeid has the layout that old code knows");

namespace {

/// Picks that may give what old code cannot call, IPv6 or a path, before there is no other.
const int PICKS_MAX = 16;

/// Takes an address such as `10.0.0.1:7963@udp` apart; whether it is one of IPv4.
bool parse(const std::string &address, routeid &route) {
    const size_t colon = address.find(':');
    if (colon == std::string::npos) return false;
    in_addr ip;
    if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &ip) != 1) return false;
    const size_t at = address.find('@');
    route.ip = ip.s_addr;
    route.port = static_cast<uint16_t>(atoi(address.c_str() + colon + 1));
    const bool by_udp = at != std::string::npos && address.compare(at, 4, "@udp") == 0;
    route.type = by_udp ? NLB_PORT_TYPE_UDP : NLB_PORT_TYPE_TCP;
    return true;
}

/// The old code of a failure.
int32_t code_of(int32_t code) {
    switch (code) {
        case MSEC_EINVALID_PARAMETER:
        case MSEC_EINVALID_ENDPOINT: return NLB_ERR_INVALID_PARA;
        case MSEC_ENO_ROUTE: return NLB_ERR_NO_ROUTE;
        default: return NLB_ERR_AGENT_ERR;
    }
}

}  // namespace

int32_t getroutebyname(const char *name, struct routeid *route) {
    if (name == nullptr || route == nullptr) return NLB_ERR_INVALID_PARA;
    const msec_engine *on = engine();
    if (on == nullptr) return NLB_ERR_AGENT_ERR;
    for (int pick = 0; pick < PICKS_MAX; pick++) {
        msec_text *address;
        const int32_t code = msec_engine_pick_route(on, name, &address);
        if (code != MSEC_OK) return code_of(code);
        const bool fits = parse(msec_text_data(address), *route);
        msec_text_free(address);
        if (fits) return 0;
    }
    return NLB_ERR_NO_SERVER;
}

int32_t updateroute(const char *name, uint32_t ip, int32_t failed, int32_t cost) {
    if (name == nullptr) return NLB_ERR_INVALID_PARA;
    const msec_engine *on = engine();
    if (on == nullptr) return NLB_ERR_AGENT_ERR;
    char host[INET_ADDRSTRLEN];
    const in_addr address = {ip};
    inet_ntop(AF_INET, &address, host, sizeof host);
    const uint32_t failures = failed < 0 ? 1 : static_cast<uint32_t>(failed);
    const uint64_t latency_us = cost < 0 ? 0 : static_cast<uint64_t>(cost) * 1000;
    const int32_t code = msec_engine_report_route(on, name, host, failures, latency_us);
    return code == MSEC_OK ? 0 : code_of(code);
}
