// All of the threads of control.

#ifndef MSEC_COMPAT_MT_INCL_H
#define MSEC_COMPAT_MT_INCL_H

#include "mt_api.h"
#include "mt_capi.h"

#endif
