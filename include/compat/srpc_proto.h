// Packages: frames of SRPC, made and read where there is no engine.

#ifndef MSEC_COMPAT_SRPC_PROTO_H
#define MSEC_COMPAT_SRPC_PROTO_H

#include "srpc_comm.h"

namespace srpc {

/// Says where a package ends: > 0 its whole length, 0 if more bytes are needed to tell, < 0 if this
/// is none.
typedef int32_t (*CheckPkgLenFunc)(void *buffer, int32_t length);

/// Where a package of SRPC ends: its length; 0 if it is not whole; -1 for NULL or no bytes, -3 if
/// this is none. Bytes behind its end do not matter.
int32_t SrpcCheckPkgLen(void *buffer, int32_t length);

}  // namespace srpc

#endif
