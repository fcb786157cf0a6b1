// Calls the first method of @PACKAGE@ once. `msec gen --compat` does not write this file again.
//
//     client_@NAME@_sync [ip:port]

#include <stdio.h>

#include "srpcincl.h"

#include "@STEM@.pb.h"

int main(int argc, char *argv[]) {
    CRpcUdpChannel channel(argc > 1 ? argv[1] : "127.0.0.1:7963");
    channel.SetTimeout(1000);
    CRpcCtrl control;
    @REQUEST@ request;
    @RESPONSE@ response;
    // Fill the request here.

    @NAMESPACE@::@SERVICE@::Stub stub(&channel);
    stub.@METHOD@(&control, &request, &response, NULL);
    if (control.Failed()) {
        fprintf(stderr, "@METHOD@ failed: %s\n", control.ErrorText().c_str());
        return 1;
    }
    printf("%s", response.DebugString().c_str());
    return 0;
}
