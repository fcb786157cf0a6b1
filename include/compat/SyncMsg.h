// What old code calls a message: a request while it is worked on.

#ifndef MSEC_COMPAT_SYNCMSG_H
#define MSEC_COMPAT_SYNCMSG_H

namespace SPP_SYNCFRAME {

/// A request while it is worked on.
class CSyncMsg {
public:
    CSyncMsg() {}
    virtual ~CSyncMsg() {}

    /// Works on it; 0 if that went well.
    virtual int HandleProcess() { return 0; }
};

}  // namespace SPP_SYNCFRAME

#endif
