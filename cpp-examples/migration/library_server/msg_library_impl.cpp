// The counter: asks a catalogue that speaks a protocol of its own, and the service of the shelves.

#include "msg_library_impl.h"

#include "configini.h"
#include "monitor.h"
#include "shelf.pb.h"

// A packet of the catalogue: ten digits, the length of what follows, and JSON.
static const int LENGTH_SIZE = 10;

static int32_t CheckCataloguePkg(void* buf, int32_t len)
{
    if (len < LENGTH_SIZE)
        return 0;
    string digits((char*)buf, LENGTH_SIZE);
    if (digits.find_first_not_of("0123456789 ") != string::npos)
        return -1;
    int32_t whole = LENGTH_SIZE + atoi(digits.c_str());
    return whole > len ? 0 : whole;
}

int CLibraryServiceMsg::GetTitles(const TitlesRequest* request, TitlesResponse* response)
{
    NGLOG_SET_OPTION("author", request->author().c_str());
    string address;
    if (GetConfig("CATALOGUE", "address", address) != 0)
    {
        NGLOG_ERROR("no address of the catalogue");
        SetFailed(SRPC_ERR_SYSTEM_ERROR);
        return -1;
    }
    string json = "{\"author\": \"" + request->author() + "\"}";
    char length[LENGTH_SIZE + 1];
    snprintf(length, sizeof(length), "%010d", (int)json.size());
    string pkg = length + json;

    CSrpcProxy proxy(address);
    proxy.SetThirdCheckCb(CheckCataloguePkg);
    char* rsp = NULL;
    int32_t rsp_len = 0;
    int32_t ret = proxy.CallMethod(pkg.data(), pkg.size(), rsp, rsp_len, 500);
    if (ret != SRPC_SUCCESS)
    {
        NGLOG_ERROR("catalogue: %d %s", ret, errmsg(ret));
        SetFailed(ret);
        return -2;
    }
    string titles(rsp + LENGTH_SIZE, rsp_len - LENGTH_SIZE);
    free(rsp);

    // ["Emma", "Persuasion"]
    for (size_t begin = titles.find('"'); begin != string::npos; begin = titles.find('"', begin))
    {
        size_t end = titles.find('"', begin + 1);
        if (end == string::npos)
            break;
        response->add_titles(titles.substr(begin + 1, end - begin - 1));
        begin = end + 1;
    }
    NGLOG_INFO("%d titles", response->titles_size());
    return response->titles_size() == 0 ? 1 : 0;
}

int CLibraryServiceMsg::Lend(const LendRequest* request, LendResponse* response)
{
    ATTR_REPORT("lent");
    shelf::FindRequest find;
    shelf::FindResponse found;
    find.set_title(request->title());
    int32_t ret = CallMethod("Library.shelf", "shelf.ShelfService.Find", find, found, 500);
    if (ret != SRPC_SUCCESS)
    {
        NGLOG_ERROR("shelf: %d %s", ret, errmsg(ret));
        SetFailed(ret);
        return -1;
    }
    NGLOG_INFO("%s stands at %s", request->title().c_str(), found.place().c_str());
    response->set_place(found.place());
    return 0;
}
