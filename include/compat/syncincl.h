// What runs on coroutines: requests, tasks, waits.

#ifndef MSEC_COMPAT_SYNCINCL_H
#define MSEC_COMPAT_SYNCINCL_H

#include "sppincl.h"

#include "SyncFrame.h"
#include "SyncMsg.h"
#include "mt_api.h"

using namespace NS_MICRO_THREAD;
using namespace SPP_SYNCFRAME;

#endif
