// Calls the first method of city.post once. `msec gen --compat` does not write this file again.
//
//     client_city_post_sync [ip:port]

#include <stdio.h>

#include "srpcincl.h"

#include "compat/post.pb.h"

int main(int argc, char *argv[]) {
    CRpcUdpChannel channel(argc > 1 ? argv[1] : "127.0.0.1:7963");
    channel.SetTimeout(1000);
    CRpcCtrl control;
    city::post::Letter request;
    city::post::Letter_Reply response;
    // Fill the request here.

    city::post::PostService::Stub stub(&channel);
    stub.Send(&control, &request, &response, NULL);
    if (control.Failed()) {
        fprintf(stderr, "Send failed: %s\n", control.ErrorText().c_str());
        return 1;
    }
    printf("%s", response.DebugString().c_str());
    return 0;
}
