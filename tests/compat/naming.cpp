// A program of old that calls services by a protocol of its own, and includes no header of the
// routes: it declares what it calls, as some do.

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <string>

#include "mt_api.h"

using namespace std;
using namespace NS_MICRO_THREAD;

struct routeid {
    uint32_t ip;
    uint16_t port;
    int type;
};

extern "C" int32_t getroutebyname(const char *name, struct routeid *route);
extern "C" int32_t updateroute(const char *name, uint32_t ip, int32_t failed, int32_t cost);

static const char kService[] = "Demo.db";

// Calls an instance and tells what came of it; its address.
static string Call() {
    struct routeid route;
    const int32_t code = getroutebyname(kService, &route);
    if (code != 0) return to_string(code);
    sockaddr_in address;
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = route.ip;
    address.sin_port = htons(route.port);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const unsigned long long begin = mt_time_ms();
    // Its answer is to close the connection; who does not wait for it has a queue grow there.
    char byte;
    const int failed = mt_connect(fd, (sockaddr *)&address, sizeof(address), 5000) != 0 ||
                       mt_recv(fd, &byte, 1, 0, 5000) != 0;
    close(fd);
    updateroute(kService, route.ip, failed, (int32_t)(mt_time_ms() - begin));
    return string(inet_ntoa(address.sin_addr)) + (failed ? " failed" : " answered");
}

static void Say(const char *when, const map<string, int> &ends) {
    printf("%s:", when);
    for (map<string, int>::const_iterator at = ends.begin(); at != ends.end(); ++at) {
        printf(" %d %s,", at->second, at->first.c_str());
    }
    printf("\n");
}

static void Calls(void *done) {
    map<string, int> first, later;
    for (int i = 0; i < 100; i++) first[Call()]++;
    for (int i = 0; i < 100; i++) later[Call()]++;
    Say("at first", first);
    Say("later", later);
    *(bool *)done = true;
}

static void Code(const char *name) {
    struct routeid route = {0, 0, 0};
    const int32_t code = getroutebyname(name, &route);
    printf("%s: %d, type %d\n", name == NULL ? "NULL" : name, code, route.type);
}

int main(int argc, char **argv) {
    if (argc != 2 || !mt_init_frame()) return 1;
    Code("Demo.nobody");
    Code("no name at all");
    Code(NULL);
    Code("Demo.six");
    Code("Demo.udp");
    Code("Demo.tcp");
    printf("reports: %d %d %d\n", updateroute("Demo.tcp", inet_addr("127.0.0.1"), 0, 1),
           updateroute("no name at all", 0, 0, 1), updateroute(NULL, 0, 0, 1));
    bool done = false;
    // On the thread of main, or on one of ours.
    if (string(argv[1]) == "main") Calls(&done);
    else mt_start_thread((void *)Calls, &done);
    while (!done) mt_sleep(1);
    return 0;
}
