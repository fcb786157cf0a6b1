// Asks for titles as a CGI program does, which has a socket of its own: cgi_library ip port author

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "srpc_intf.h"

#include "library.pb.h"

static bool Exchange(const char* ip, int port, const string& pkg, CSrpcProxy& proxy, string& rsp)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr;
    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_port = htons(port);
    inet_pton(AF_INET, ip, &addr.sin_addr);
    bool whole = false;
    if (connect(fd, (struct sockaddr*)&addr, sizeof(addr)) == 0 &&
        send(fd, pkg.data(), pkg.size(), 0) == (ssize_t)pkg.size())
    {
        char buf[4096];
        ssize_t got;
        while (!whole && (got = recv(fd, buf, sizeof(buf), 0)) > 0)
        {
            rsp.append(buf, got);
            int32_t len = proxy.CheckPkgLen((void*)rsp.data(), rsp.size());
            if (len < 0)
                break;
            whole = len > 0;
        }
    }
    close(fd);
    return whole;
}

int main(int argc, char* argv[])
{
    if (argc != 4)
        return 2;
    CSrpcProxy proxy;
    proxy.SetCaller("Library.cgi");
    proxy.SetMethod("library.LibraryService.GetTitles");
    library::TitlesRequest request;
    library::TitlesResponse response;
    request.set_author(argv[3]);

    uint64_t seq = 0;
    string pkg, rsp;
    if (proxy.Serialize(seq, request, pkg) != SRPC_SUCCESS)
        return 3;
    if (!Exchange(argv[1], atoi(argv[2]), pkg, proxy, rsp))
        return 4;
    int32_t ret = proxy.DeSerialize(rsp, response, seq, true);
    int32_t fret = 0, sret = 0;
    proxy.GetResult(fret, sret);
    printf("ret %d, fret %d, sret %d: %s\n", ret, fret, sret, proxy.GetErrText());
    for (int i = 0; i < response.titles_size(); i++)
        printf("%s\n", response.titles(i).c_str());
    return 0;
}
