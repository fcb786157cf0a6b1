// What all of namespace srpc shares: codes, kinds of ports, endpoints and formats, and small
// functions.
//
// As old headers did, this brings std, google::protobuf and srpc into view, which programs rely on.

#ifndef MSEC_COMPAT_SRPC_COMM_H
#define MSEC_COMPAT_SRPC_COMM_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/service.h>

#include "srpc.pb.h"

using namespace std;
using namespace google::protobuf;

namespace srpc {

/// What calls end with. errmsg() has the texts.
enum SRPC_RETCODE {
    SRPC_SUCCESS = 0,
    SRPC_ERR_PARA_ERROR = -1,
    SRPC_ERR_SYSTEM_ERROR = -2,
    SRPC_ERR_INVALID_PKG = -3,
    SRPC_ERR_INVALID_PKG_HEAD = -4,
    SRPC_ERR_INVALID_PKG_BODY = -5,
    SRPC_ERR_INVALID_METHOD_NAME = -6,
    SRPC_ERR_HEADER_UNINIT = -7,
    SRPC_ERR_BODY_UNINIT = -8,
    SRPC_ERR_NO_MEMORY = -9,
    SRPC_ERR_TIMEOUT = -10,
    SRPC_ERR_NETWORK = -11,
    SRPC_ERR_RECV_TIMEOUT = -12,
    SRPC_ERR_SEND_RECV_FAILED = -13,
    SRPC_ERR_INVALID_ENDPOINT = -14,
    SRPC_ERR_GET_ROUTE_FAILED = -15,
    SRPC_ERR_INVALID_SEQUENCE = -16,
    SRPC_ERR_NO_BODY = -17,
    SRPC_ERR_SERVICE_IMPL_FAILED = -18,
    SRPC_ERR_BACKEND = -19,
    SRPC_ERR_PHP_FAILED = -20,
    SRPC_ERR_PYTHON_FAILED = -21
};

/// Kinds of ports: what a route is for, and what a call may wish for.
enum { PORT_TYPE_UDP = 1, PORT_TYPE_TCP = 2, PORT_TYPE_ALL = 3 };

/// Kinds of endpoints: a service that is found by its name, or an address.
enum { ENDPOINT_TYPE_NLB = 1, ENDPOINT_TYPE_ADDR = 2, ENDPOINT_TYPE_UNKOWN = 100 };

/// How messages are written.
enum { PROTO_TYPE_PB = 1, PROTO_TYPE_JSON = 2 };

/// The text of a code. Never NULL; lives as long as the process.
const char *errmsg(int32_t code);

/// A sequence: random, of 32 bits, never 0.
uint64_t newseq();

/// The service that this is, `First.second`; `default.default` if nothing says so.
const std::string &SrpcServiceName();

}  // namespace srpc

using namespace srpc;

#endif
