/*
 * Naming by hand, for who calls a service by a protocol of his own: where to call it, and what came
 * of that. The engine's routes decide, and learn, as they do for calls of its own.
 */

#ifndef MSEC_COMPAT_NLBAPI_H
#define MSEC_COMPAT_NLBAPI_H

#include <stdint.h>

/* What an instance speaks. */
typedef enum {
    NLB_PORT_TYPE_UDP = 1,
    NLB_PORT_TYPE_TCP = 2,
    NLB_PORT_TYPE_ALL = 3
} NLB_PORT_TYPE;

/* Where an instance is. */
struct routeid {
    uint32_t ip;        /* in the order of the network */
    uint16_t port;      /* in the order of the host */
    NLB_PORT_TYPE type; /* 32 bits: old code that declares this by itself has an int */
};

/* What the functions below fail with. Those that are left out of their comments came from an agent
 * and its shared memory, which are gone. */
enum {
    NLB_ERR_INVALID_PARA = -1,
    NLB_ERR_NO_ROUTE = -2,
    NLB_ERR_NO_AGENT = -3,
    NLB_ERR_NO_ROUTEDATA = -4,
    NLB_ERR_NO_STATISTICS = -5,
    NLB_ERR_NO_HISTORY = -6,
    NLB_ERR_LOCK_CONFLICT = -7,
    NLB_ERR_INVALID_MAGIC = -8,
    NLB_ERR_NO_SERVER = -9,
    NLB_ERR_CREATE_SOCKET_FAIL = -10,
    NLB_ERR_SEND_FAIL = -11,
    NLB_ERR_RECV_FAIL = -12,
    NLB_ERR_INVALID_RSP = -13,
    NLB_ERR_AGENT_ERR = -14
};

#ifdef __cplusplus
extern "C" {
#endif

/* Picks an instance of a service, `First.second`. 0; -1 a NULL, or no such name can be; -2 nobody
 * has such a service; -9 it has no instance that can be called by IPv4; -14 there is no engine. */
int32_t getroutebyname(const char *name, struct routeid *route);

/* Tells what came of a call to the instance at `ip` (in the order of the network), whatever its
 * port: `failed` is 0 if it went well, else how many calls failed; `cost` is what it took, in
 * milliseconds. 0, also for a service or an instance that there is not any more; -1 a NULL, or no
 * such name can be; -14 there is no engine. */
int32_t updateroute(const char *name, uint32_t ip, int32_t failed, int32_t cost);

#ifdef __cplusplus
}
#endif

#endif
