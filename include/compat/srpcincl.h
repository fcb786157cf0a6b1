// All that a service, or a program that calls some, uses of the original.

#ifndef MSEC_COMPAT_SRPCINCL_H
#define MSEC_COMPAT_SRPCINCL_H

#include "syncincl.h"

#include "srpc_channel.h"
#include "srpc_comm.h"
#include "srpc_intf.h"
#include "srpc_log.h"
#include "srpc_proto.h"
#include "srpc_service.h"

#endif
