// Where old code finds the request that it works for.

#ifndef MSEC_COMPAT_SYNCFRAME_H
#define MSEC_COMPAT_SYNCFRAME_H

#include "SyncMsg.h"

namespace SPP_SYNCFRAME {

/// The one that knows which request is worked on.
class CSyncFrame {
public:
    static CSyncFrame *Instance();

    /// There is nothing to be destroyed: for who calls it in spp_handle_fini.
    static void Destroy();

    /// The request that the calling code works for, also in the tasks of mt_exec_all_task; NULL
    /// outside of any, as in a thread of mt_start_thread.
    CSyncMsg *GetCurrentMsg();

private:
    CSyncFrame() {}
};

}  // namespace SPP_SYNCFRAME

#endif
