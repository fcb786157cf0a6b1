#include "SyncFrame.h"
#include "request.h"

namespace SPP_SYNCFRAME {

CSyncFrame *CSyncFrame::Instance() {
    static CSyncFrame one;
    return &one;
}

void CSyncFrame::Destroy() {}

CSyncMsg *CSyncFrame::GetCurrentMsg() {
    return static_cast<CSyncMsg *>(msec::compat::current_request().message);
}

}  // namespace SPP_SYNCFRAME
