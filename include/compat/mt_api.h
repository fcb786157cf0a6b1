// Threads of control that wait without holding up their system thread, as old code calls them.
//
// They are coroutines of the engine. One runs until it waits, by a function of this header or a
// call; what they share needs no lock within a system thread. A plugin has one (unless its host is
// told otherwise), and so has a program that began with mt_init_frame().
//
// Times are milliseconds; a negative one is forever. What fails says more by errno: ETIME when the
// time is over, ECONNREFUSED, ECONNRESET and so on at once, ECANCELED when the request is one that
// nobody waits for any more.

#ifndef MSEC_COMPAT_MT_API_H
#define MSEC_COMPAT_MT_API_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <vector>

namespace NS_MICRO_THREAD {

/// A piece of work that is done beside others, by mt_exec_all_task.
class IMtTask {
public:
    IMtTask() : type_(0), result_(0) {}
    virtual ~IMtTask() {}

    /// Does it. What it returns is its result.
    virtual int Process() { return -1; }

    void SetTaskType(int type) { type_ = type; }
    int GetTaskType() { return type_; }
    void SetResult(int result) { result_ = result; }
    int GetResult() { return result_; }

protected:
    int type_;
    int result_;
};

typedef std::vector<IMtTask *> IMtTaskList;

/// Does all of them at the same time, each in a sub-thread of the caller's request, and waits until
/// all are done: 0, and GetResult() tells what each has returned; -1 if one could not be begun. The
/// first exception that leaves one is thrown on when all are over. The tasks stay the caller's.
int mt_exec_all_task(IMtTaskList &tasks);

/// Says how long a whole answer is that begins with these bytes: 0 if more are needed to tell,
/// negative if this is none.
typedef int (*MtFuncTcpMsgLen)(void *buf, int len);

/// What becomes of a connection, and whether there is an answer.
enum MT_TCP_CONN_TYPE {
    MT_TCP_SHORT = 1,          ///< closed afterwards
    MT_TCP_LONG = 2,           ///< kept for the next request to the same peer
    MT_TCP_SHORT_SNDONLY = 3,  ///< closed, and no answer is waited for
    MT_TCP_LONG_SNDONLY = 4    ///< kept, and no answer is waited for
};

/// Sends a datagram and waits for one from the same peer. In: bytes that `rcv_buf` has room for;
/// out: bytes that came. 0; -1 no socket; -2 not sent; -3 nothing received; -10 bad arguments.
int mt_udpsendrcv(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int &buf_size,
                  int timeout);

/// Sends a request and waits for its answer, on a connection that is kept. In: bytes that `rcv_buf`
/// has room for; out: those of the answer. 0; -1 no socket; -2 not sent; -3 nothing received, or
/// not in time; -4 not connected; -5 `check_func` said that this is no answer; -6 the answer has no
/// room; -7 the peer closed the connection before; -10 bad arguments.
int mt_tcpsendrcv(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int &buf_size,
                  int timeout, MtFuncTcpMsgLen check_func);

/// As mt_tcpsendrcv; `*rcv_buf` becomes an answer of any length, to be given to free(). -11 there
/// is no memory for it. After a failure neither is written.
int mt_tcpsendrcv_v2(struct sockaddr_in *dst, void *pkg, int len, void **rcv_buf, int &buf_size,
                     int timeout, MtFuncTcpMsgLen check_func);

/// As mt_tcpsendrcv, with a say about the connection. Where no answer is waited for, the last three
/// of its arguments may be NULL.
int mt_tcpsendrcv_ex(struct sockaddr_in *dst, void *pkg, int len, void *rcv_buf, int *buf_size,
                     int timeout, MtFuncTcpMsgLen check_func,
                     MT_TCP_CONN_TYPE type = MT_TCP_LONG);

/// Waits so long; lets others run if `ms` is 0.
void mt_sleep(int ms);

/// The time of day, in milliseconds since 1970.
unsigned long long mt_time_ms(void);

/// A pointer of the request, which its sub-threads see, too. NULL at first.
void mt_set_msg_private(void *data);
void *mt_get_msg_private();

/// In a program that is no plugin, before all else: whether there can be threads of control. The
/// caller becomes one of them.
bool mt_init_frame();

/// Stacks of so many bytes, 64 KiB to 64 MiB; before mt_init_frame(). In a plugin the host's
/// [ENGINE] stack_kb says so, and this nothing.
void mt_set_stack_size(unsigned int bytes);

/// As the functions without mt_, of whatever descriptor; but they wait for no longer than
/// `timeout`, and what is sent or written is so as a whole. Below 0: it failed.
int mt_recvfrom(int fd, void *buf, int len, int flags, struct sockaddr *from, socklen_t *fromlen,
                int timeout);
int mt_sendto(int fd, const void *msg, int len, int flags, const struct sockaddr *to, int tolen,
              int timeout);
int mt_connect(int fd, const struct sockaddr *addr, int addrlen, int timeout);
int mt_accept(int fd, struct sockaddr *addr, socklen_t *addrlen, int timeout);
ssize_t mt_read(int fd, void *buf, size_t nbyte, int timeout);
ssize_t mt_write(int fd, const void *buf, size_t nbyte, int timeout);
int mt_recv(int fd, void *buf, int len, int flags, int timeout);
ssize_t mt_send(int fd, const void *buf, size_t nbyte, int flags, int timeout);

/// Waits until a descriptor is ready for `events` (EPOLLIN, EPOLLOUT). Those that came, EPOLLERR
/// and EPOLLHUP included; 0 when the time is over; -1 it cannot be watched.
int mt_wait_events(int fd, int events, int timeout);

/// Begins a thread of control that belongs to no request; `entry` is a void (*)(void *). NULL if
/// there can be none.
void *mt_start_thread(void *entry, void *args);

/// Borrows a connection to that peer, and makes one if none is kept; `*sock` becomes its
/// descriptor. NULL if there is none to be had within a second.
void *mt_get_keep_conn(struct sockaddr_in *addr, int *sock);

/// Gives it back; with `force_free` it is closed, as it must be after a failure.
void mt_free_keep_conn(void *conn, bool force_free);

}  // namespace NS_MICRO_THREAD

#endif
