// Lends a book by the stub of Protocol Buffers: client_library_sync udp|tcp ip:port title

#include <stdio.h>

#include "srpcincl.h"

#include "library.pb.h"

int main(int argc, char* argv[])
{
    if (argc != 4)
        return 2;
    CRpcUdpChannel udp(argv[2]);
    CRpcTcpChannel tcp(argv[2]);
    CRpcChannel* channel = &udp;
    if (string(argv[1]) == "tcp")
        channel = &tcp;
    channel->SetTimeout(2000);

    CRpcCtrl ctrl;
    library::LendRequest request;
    library::LendResponse response;
    request.set_title(argv[3]);
    library::LibraryService::Stub stub(channel);
    stub.Lend(&ctrl, &request, &response, NULL);
    if (ctrl.Failed())
    {
        printf("failed %d: %s\n", channel->GetResponseHead().err(), ctrl.ErrorText().c_str());
        return 1;
    }
    printf("lent: %s\n", response.place().c_str());
    return 0;
}
