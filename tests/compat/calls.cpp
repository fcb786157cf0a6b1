// Calls as programs of old do, and says what came of it:
//
//     calls service|proxy|tcp|udp TARGET METHOD TITLE TIMEOUT_MS    ret fret sret: answer, or text
//     calls third TARGET BYTES TIMEOUT_MS                           ret: answer, or text
//     calls packages                                                nothing: it aborts if wrong

#include <assert.h>
#include <stdio.h>

#include "srpcincl.h"

#include "shelf.pb.h"

#undef NDEBUG

static int32_t CheckDecimal(void* buf, int32_t len)
{
    if (len < 10)
        return 0;
    string digits((char*)buf, 10);
    if (digits.find_first_not_of("0123456789") != string::npos)
        return -1;
    long long whole = 10 + atoll(digits.c_str());
    if (whole > 0x7fffffff)
        return -2;
    return whole;
}

static int Third(char* argv[])
{
    CSrpcProxy proxy(argv[2]);
    proxy.SetThirdCheckCb(CheckDecimal);
    string pkg = argv[3];
    char* rsp = NULL;
    int32_t len = 0;
    int32_t ret = proxy.CallMethod(pkg.data(), pkg.size(), rsp, len, atoi(argv[4]));
    printf("%d: %s\n", ret, ret == 0 ? string(rsp, len).c_str() : proxy.GetErrText());
    free(rsp);
    return 0;
}

static int Packages()
{
    CSrpcProxy proxy;
    assert(!proxy.Failed() && proxy.GetEndPoint().empty());
    shelf::FindRequest request;
    uint64_t seq = 0;
    string pkg;
    assert(proxy.Serialize(seq, request, pkg) == SRPC_ERR_INVALID_METHOD_NAME);
    proxy.SetMethod("shelf.ShelfService.Find");
    assert(proxy.Serialize(seq, request, pkg) == SRPC_ERR_BODY_UNINIT);
    request.set_title("Emma");
    char* bytes = NULL;
    int32_t len = 0;
    assert(proxy.Serialize(bytes, len, seq, request) == SRPC_SUCCESS && seq != 0);
    for (int32_t part = 0; part < len; part++)
        assert(SrpcCheckPkgLen(bytes, part) == (part == 0 ? -1 : 0));
    assert(SrpcCheckPkgLen(bytes, len) == len && proxy.CheckPkgLen(NULL, 5) == -1);
    string two(bytes, len);
    two += two;
    assert(SrpcCheckPkgLen((void*)two.data(), two.size()) == len);
    shelf::FindRequest again;
    uint64_t other = seq + 1;
    assert(proxy.DeSerialize(bytes, len, again, other, true) == SRPC_ERR_INVALID_SEQUENCE);
    assert(proxy.DeSerialize(bytes, len, again, other) == SRPC_SUCCESS && other == seq);
    assert(again.title() == "Emma");
    assert(proxy.DeSerialize(two, again, other) == SRPC_ERR_INVALID_PKG);
    assert(proxy.DeSerialize(bytes, len - 1, again, other) == SRPC_ERR_INVALID_PKG);
    assert(proxy.DeSerialize(NULL, 0, again, other) == SRPC_ERR_PARA_ERROR);
    bytes[len - 1] = 0;
    assert(SrpcCheckPkgLen(bytes, len) == SRPC_ERR_INVALID_PKG);
    free(bytes);
    // The lengths of a head without a head, of less than nothing, and of more than can be.
    const char* wrong[] = {"(\0\0\0\0\0\0\0\1x)", "(\xff\xff\xff\xff\0\0\0\1xx",
                           "(\x7f\xff\xff\xff\x7f\xff\xff\xffxx"};
    for (int i = 0; i < 3; i++)
        assert(SrpcCheckPkgLen((void*)wrong[i], 11) == SRPC_ERR_INVALID_PKG);
    assert(string(errmsg(-12)) == "recevice timeout" && string(errmsg(5)) == "unkown error");
    return 0;
}

static void Stub(CRpcChannel& channel, char* argv[], const shelf::FindRequest& request)
{
    CRpcCtrl ctrl;
    shelf::FindResponse response;
    channel.SetTimeout(atoi(argv[5]));
    shelf::ShelfService::Stub stub(&channel);
    stub.Find(&ctrl, &request, &response, NULL);
    printf("%d %d %d: %s\n", ctrl.GetErrCode(), ctrl.Failed() ? 1 : 0, ctrl.GetSrvRet(),
           ctrl.Failed() ? ctrl.ErrorText().c_str() : response.place().c_str());
}

int main(int argc, char* argv[])
{
    if (argc == 2)
        return Packages();
    string how = argv[1];
    if (how == "third")
        return Third(argv);
    shelf::FindRequest request;
    shelf::FindResponse response;
    if (string(argv[4]) != "-")
        request.set_title(argv[4]);
    int32_t ret = 0, fret = 0, sret = 0;
    if (how == "service")
    {
        ret = CallMethod(argv[2], argv[3], request, response, atoi(argv[5]));
        printf("%d 0 0: %s\n", ret, ret == 0 ? response.place().c_str() : errmsg(ret));
    }
    else if (how == "proxy")
    {
        CSrpcProxy proxy(argv[2]);
        proxy.SetCaller("Library.reader");
        proxy.SetMethod(argv[3]);
        ret = proxy.CallMethod(request, response, atoi(argv[5]));
        proxy.GetResult(fret, sret);
        printf("%d %d %d: %s\n", ret, fret, sret,
               ret == 0 ? response.place().c_str() : proxy.GetErrText());
    }
    else if (how == "udp")
    {
        CRpcUdpChannel channel(argv[2]);
        Stub(channel, argv, request);
    }
    else
    {
        CRpcTcpChannel channel(argv[2]);
        Stub(channel, argv, request);
    }
    return 0;
}
