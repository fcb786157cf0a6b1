// A program of old, without a plugin: requests to servers of which each does something else. The
// servers are the test's; a line says what became of a request: its name, the code, errno, the
// answer.

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "mt_api.h"

using namespace std;
using namespace NS_MICRO_THREAD;

static sockaddr_in Address(const char *text) {
    const string whole = text;
    const size_t colon = whole.find(':');
    sockaddr_in address;
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = inet_addr(whole.substr(0, colon).c_str());
    address.sin_port = htons(atoi(whole.c_str() + colon + 1));
    return address;
}

// Ten digits say how long what follows is.
static int CheckLength(void *buf, int len) {
    const char *data = static_cast<const char *>(buf);
    if (len < 10) return 0;
    for (int i = 0; i < 10; i++) {
        if (data[i] < '0' || data[i] > '9') return -1;
    }
    return 10 + atoi(string(data, 10).c_str());
}

static const char kRequest[] = "0000000005hello";
static const int kLength = sizeof(kRequest) - 1;

static void Say(const string &name, int code, const string &answer) {
    const int error = code == 0 ? 0 : errno;
    printf("%s %d %s [%s]\n", name.c_str(), code, error ? strerrorname_np(error) : "-",
           answer.c_str());
    fflush(stdout);
}

static void Ask(const string &name, sockaddr_in to, int timeout, int room,
                MT_TCP_CONN_TYPE type = MT_TCP_LONG) {
    string buffer(room, '?');
    int size = room;
    errno = 0;
    const int code = mt_tcpsendrcv_ex(&to, (void *)kRequest, kLength, &buffer[0], &size, timeout,
                                      CheckLength, type);
    const bool answered = code == 0 && type != MT_TCP_SHORT_SNDONLY;
    Say(name, code, answered ? buffer.substr(0, size) : "");
}

static int CheckBeyond(void *, int) { return 200 << 20; }

static void AskV2(const string &name, sockaddr_in to, MtFuncTcpMsgLen check) {
    void *answer = NULL;
    int size = 0;
    errno = 0;
    const int code = mt_tcpsendrcv_v2(&to, (void *)kRequest, kLength, &answer, size, 5000, check);
    Say(name, code, code == 0 ? to_string(size) + string((char *)answer + size - 1, 1) : "");
    free(answer);
}

static void AskUdp(const string &name, sockaddr_in to, int timeout) {
    char buffer[64];
    int size = sizeof(buffer);
    errno = 0;
    const int code = mt_udpsendrcv(&to, (void *)kRequest, kLength, buffer, size, timeout);
    Say(name, code, code == 0 ? string(buffer, size) : "");
}

// One's own protocol by hand.
static void ByHand(sockaddr_in echo) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char buffer[64];
    int code = mt_connect(fd, (sockaddr *)&echo, sizeof(echo), 5000);
    if (code == 0) code = mt_send(fd, kRequest, kLength, 0, 5000) == kLength ? 0 : -1;
    if (code == 0) code = mt_wait_events(fd, EPOLLIN, 5000) & EPOLLIN ? 0 : -1;
    const int got = code == 0 ? mt_recv(fd, buffer, sizeof(buffer), 0, 5000) : -1;
    Say("by hand", code, string(buffer, got < 0 ? 0 : got));
    errno = 0;
    Say("nothing more", mt_recv(fd, buffer, sizeof(buffer), 0, 20), "");
    Say("no event", mt_wait_events(fd, EPOLLIN, 20), "");
    Say("an event of two", mt_wait_events(fd, EPOLLIN | EPOLLOUT, 5000) == EPOLLOUT ? 0 : -1, "");
    close(fd);
    errno = 0;
    Say("closed by us", mt_wait_events(fd, EPOLLIN, 5000), "");

    int sock = -1;
    void *conn = mt_get_keep_conn(&echo, &sock);
    code = mt_connect(sock, (sockaddr *)&echo, sizeof(echo), 5000);
    if (code == 0) code = mt_write(sock, kRequest, kLength, 5000) == kLength ? 0 : -1;
    const ssize_t read = code == 0 ? mt_read(sock, buffer, sizeof(buffer), 5000) : -1;
    Say("lent", code, string(buffer, read < 0 ? 0 : read));
    mt_free_keep_conn(conn, false);
    int again = -1;
    conn = mt_get_keep_conn(&echo, &again);
    Say("lent again", again == sock ? 0 : -1, "");
    mt_free_keep_conn(conn, true);
}

class CAsk : public IMtTask {
public:
    explicit CAsk(sockaddr_in to) : to_(to) {}

    virtual int Process() {
        char buffer[64];
        int size = sizeof(buffer);
        return mt_tcpsendrcv(&to_, (void *)kRequest, kLength, buffer, size, 30000, CheckLength);
    }

private:
    sockaddr_in to_;
};

// The server answers when it has all requests: each is on a connection of its own.
static void Many(sockaddr_in to) {
    vector<CAsk> asks(100, CAsk(to));
    IMtTaskList tasks;
    for (size_t i = 0; i < asks.size(); i++) tasks.push_back(&asks[i]);
    int code = mt_exec_all_task(tasks), kept = 0;
    for (size_t i = 0; i < asks.size(); i++) code |= asks[i].GetResult();
    for (int fd = 0; fd < 1024; fd++) {
        sockaddr_in peer;
        socklen_t length = sizeof(peer);
        const bool connected = getpeername(fd, (sockaddr *)&peer, &length) == 0;
        if (connected && peer.sin_port == to.sin_port) kept++;
    }
    Say("many", code, to_string(kept) + " kept");
}

static void All(const char **to) {
    sockaddr_in echo = Address(to[1]), refuses = Address(to[2]), resets = Address(to[3]);
    sockaddr_in silent = Address(to[4]), junk = Address(to[5]), closes = Address(to[6]);
    sockaddr_in once = Address(to[7]), large = Address(to[8]);
    sockaddr_in udp_echo = Address(to[9]), udp_refuses = Address(to[10]);
    sockaddr_in udp_silent = Address(to[11]), together = Address(to[12]);
    Ask("echo", echo, 5000, 64);
    Ask("echo kept", echo, 5000, 64);
    Ask("echo short", echo, 5000, 64, MT_TCP_SHORT);
    Ask("refused", refuses, 60000, 64);
    Ask("reset", resets, 60000, 64);
    Ask("silent", silent, 200, 64);
    Ask("junk", junk, 5000, 64);
    Ask("too small", echo, 5000, 12);
    Ask("closed", closes, 60000, 64);
    Ask("once", once, 5000, 64);
    // The test's server has closed the kept connection by now, without our having looked.
    Ask("once more", once, 5000, 64);
    Ask("send only", echo, 5000, 64, MT_TCP_SHORT_SNDONLY);
    Ask("no arguments", echo, 5000, 0);
    AskV2("large", large, CheckLength);
    AskV2("beyond", echo, CheckBeyond);
    AskUdp("udp echo", udp_echo, 5000);
    AskUdp("udp refused", udp_refuses, 60000);
    AskUdp("udp silent", udp_silent, 50);
    ByHand(echo);
    Many(together);
}

static void Close(void *fd) {
    mt_sleep(50);
    close(*static_cast<int *>(fd));
}

// Another one closes what is waited for.
static void Closed() {
    int ends[2];
    if (pipe(ends) != 0) return;
    char byte;
    errno = 0;
    if (mt_start_thread((void *)Close, &ends[0]) == NULL) return;
    Say("closed by another", static_cast<int>(mt_read(ends[0], &byte, 1, 60000)), "");
    close(ends[1]);
}

static void Thread(void *to) {
    All(static_cast<const char **>(to));
    Closed();
}

int main(int argc, const char **argv) {
    if (argc != 14 || !mt_init_frame()) return 1;
    // On the thread of main, or on one of ours.
    if (string(argv[13]) == "main") {
        All(argv);
    } else {
        static bool done = false;
        struct Run {
            static void Entry(void *to) {
                Thread(to);
                done = true;
            }
        };
        if (mt_start_thread((void *)Run::Entry, argv) == NULL) return 1;
        while (!done) mt_sleep(5);
    }
    return 0;
}
