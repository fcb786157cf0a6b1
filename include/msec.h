/*
 * msec: a service engine. This is its C interface: libmsec.so, or libmsec.a.
 *
 * Generated from the sources in ffi-c by `cargo xtask gen`; not edited by hand.
 *
 * A server in C:
 *
 *     static int32_t upper(void *userdata, msec_context *context) {
 *         msec_slice body = msec_context_body(context);
 *         char *place = msec_context_answer_place(context, body.size);
 *         for (size_t i = 0; i < body.size; i++) place[i] = toupper(body.data[i]);
 *         return MSEC_OK;
 *     }
 *
 *     msec_engine *engine;
 *     msec_server *server;
 *     if (msec_engine_new(NULL, &engine) != MSEC_OK) die(msec_error_text());
 *     msec_server_builder *builder = msec_server_builder_new();
 *     msec_server_builder_method(builder, "demo.Text.Upper", upper, NULL, NULL);
 *     msec_server_builder_listen(builder, "127.0.0.1:7963");
 *     if (msec_server_start(builder, engine, &server) != MSEC_OK) die(msec_error_text());
 *
 * Conventions, which hold where a comment does not say otherwise:
 *
 * Results. A function that can fail returns int32_t: MSEC_OK (0), or a negative MSEC_E... code, of
 *     which msec_strerror() has the general text and msec_error_text() what happened this time.
 *     Outputs are the last arguments, and are written on success only.
 * NULL. A NULL where something is needed is answered with MSEC_EINVALID_PARAMETER (or with
 *     nothing, by functions that cannot fail), never by a crash. `_free` of NULL does nothing.
 * Ownership. What `_new`, `_start` or a call hands out is given back once, to the function that the
 *     comment names. Arguments are not kept: texts and bytes are copied where they are needed.
 * Texts are UTF-8 with a NUL at the end; bytes are a pointer and a size. A msec_slice is neither
 *     owned nor ended by a NUL; a msec_text is both.
 * Threads. A handle may be used from every thread, also at the same time, unless its comment says
 *     otherwise; it must not be freed while it is used. (A mutex, condition, semaphore or channel
 *     may be freed by who was woken by it, though who woke it has not returned yet.) Handlers and
 *     callbacks run on core threads: what their userdata points to is used by several of them at a
 *     time.
 * Suspension. "Suspends" means: on a coroutine (a handler of a server, a function of msec_spawn),
 *     the coroutine waits and its core thread goes on with others; thread-local variables may then
 *     have been changed by others. A coroutine never moves to another thread. On a plain thread
 *     the same functions block the thread. What blocks in a handler must be one of these
 *     functions, or be given to msec_offload. Functions that "must not be called on a coroutine"
 *     wait for the cores: on a core's thread they fail with MSEC_ESYSTEM_ERROR, and do nothing.
 * Thread-local variables are those of the core's thread, on which a coroutine stays: after
 *     something that suspends they have the same address, and maybe another coroutine's value.
 *     What is to be a coroutine's own is set by msec_local_set.
 * Exceptions. No C++ exception may leave a function that this library calls. msec.hpp sees to that,
 *     and in a plugin MSEC_PLUGIN_INIT, for handlers: their callers get MSEC_ESERVICE_FAILED with
 *     what(). One that gets out ends the process by abort(), and with msec_process_name_crashes()
 *     before it a line says in which method.
 * Order of the end. Handles are freed in any order: an engine goes on until its servers and clients
 *     are freed too. A call to a server that has stopped ends with MSEC_ENETWORK.
 * Options. A struct of options begins with its size, so that it may grow: start from its _INIT
 *     macro, and set what you want. 0 and NULL in every other field mean "as if not set". What a
 *     newer header has, and this library does not know, is refused if it is set, and so are flags.
 * fork(). A child of a process that has an engine may exec or _exit, and nothing else; that goes
 *     for a handler too. exit() ends the process from wherever it is called.
 */


#ifndef MSEC_H
#define MSEC_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* What calls end with; the texts are those of msec_strerror(). */
#define MSEC_OK (0) /* success */
#define MSEC_EINVALID_PARAMETER (-1) /* invalid parameter */
#define MSEC_ESYSTEM_ERROR (-2) /* system error */
#define MSEC_EINVALID_PACKAGE (-3) /* invalid package */
#define MSEC_EINVALID_HEAD (-4) /* invalid package header */
#define MSEC_EINVALID_BODY (-5) /* invalid package body */
#define MSEC_EINVALID_METHOD (-6) /* invalid method name */
#define MSEC_EHEAD_UNSET (-7) /* package header uninitialized */
#define MSEC_EBODY_UNSET (-8) /* package body uninitialized */
#define MSEC_ENO_MEMORY (-9) /* no memory */
#define MSEC_ETIMEOUT (-10) /* timeout */
#define MSEC_ENETWORK (-11) /* network error */
#define MSEC_ERECV_TIMEOUT (-12) /* recevice timeout */
#define MSEC_ESEND_RECV_FAILED (-13) /* network sendrecv failed */
#define MSEC_EINVALID_ENDPOINT (-14) /* invalid endpoint */
#define MSEC_ENO_ROUTE (-15) /* get route failed */
#define MSEC_EINVALID_SEQUENCE (-16) /* invalid sequence */
#define MSEC_ENO_BODY (-17) /* no package body */
#define MSEC_ESERVICE_FAILED (-18) /* service implement failed */
#define MSEC_EBACKEND_FAILED (-19) /* backend process failed, use GetErrText get more information */
#define MSEC_EPHP_FAILED (-20) /* php error */
#define MSEC_EPYTHON_FAILED (-21) /* python error */
#define MSEC_EOVERLOADED (-101) /* overloaded */
#define MSEC_EDEADLINE_EXCEEDED (-102) /* deadline exceeded before start */
#define MSEC_ECANCELLED (-103) /* cancelled */
#define MSEC_EDRAINING (-104) /* draining */
#define MSEC_ETOO_LARGE (-105) /* message too large */
#define MSEC_EUNAUTHENTICATED (-106) /* unauthenticated */
#define MSEC_EFORBIDDEN (-107) /* forbidden */
#define MSEC_ERATE_LIMITED (-108) /* rate limited */
#define MSEC_ENO_HEALTHY_INSTANCE (-109) /* no healthy instance */
#define MSEC_EJAVA_FAILED (-1000) /* java service exception */
#define MSEC_EPANIC (-2000) /* a bug in libmsec */


/**
 * No answer is wanted: the call ends as soon as the request is written.
 */
#define MSEC_CALL_ONE_WAY 1

/**
 * Every service on the way keeps all its log lines and spans.
 */
#define MSEC_CALL_DYED 2

/**
 * The method may run twice: a call whose connection dies is sent again, to another instance.
 */
#define MSEC_CALL_IDEMPOTENT 4

/**
 * The call is not sent again, even where it surely did not run.
 */
#define MSEC_CALL_NO_RETRY 8

/**
 * The call is sent a second time, to another instance, when its answer is later than 95 of 100
 * calls of the method have been; implies `MSEC_CALL_IDEMPOTENT`.
 */
#define MSEC_CALL_HEDGE_AT_P95 16

/**
 * The body is compressed by LZ4, and so may be the answer's, once the peer has told that it
 * understands that: from the second call on a connection on.
 */
#define MSEC_CALL_LZ4 32

/**
 * As `MSEC_CALL_LZ4`, by Zstandard, which is shorter and slower.
 */
#define MSEC_CALL_ZSTD 64

/**
 * Before all others.
 */
#define MSEC_PRIORITY_CRITICAL 1

/**
 * As most.
 */
#define MSEC_PRIORITY_DEFAULT 2

/**
 * What can be done without goes last.
 */
#define MSEC_PRIORITY_SHEDDABLE 3

/**
 * The subject, most specific attribute first, such as `CN=ann,O=Example`; may be empty.
 */
#define MSEC_IDENTITY_SUBJECT 0

/**
 * The common name out of the subject; empty if it has none.
 */
#define MSEC_IDENTITY_COMMON_NAME 1

/**
 * The DNS names that the certificate is for.
 */
#define MSEC_IDENTITY_DNS_NAME 2

/**
 * The URIs that it is for, such as `spiffe://example/orders`.
 */
#define MSEC_IDENTITY_URI 3

/**
 * What one wants to know while writing the program.
 */
#define MSEC_LOG_TRACE 0

/**
 * What one wants to know while looking for a mistake.
 */
#define MSEC_LOG_DEBUG 1

/**
 * What happened.
 */
#define MSEC_LOG_INFO 2

/**
 * What should not have happened, and was coped with.
 */
#define MSEC_LOG_WARN 3

/**
 * What should not have happened, and somebody has to look at.
 */
#define MSEC_LOG_ERROR 4

/**
 * What the program cannot go on after.
 */
#define MSEC_LOG_FATAL 5

/**
 * Whoever is on this machine.
 */
#define MSEC_PAGES_LOOPBACK 0

/**
 * Everybody who can connect.
 */
#define MSEC_PAGES_EVERYBODY 1

/**
 * Nobody, not even those that are open to all.
 */
#define MSEC_PAGES_NOBODY 2

/**
 * Until there is something to read, or the other side has ended.
 */
#define MSEC_READABLE 1

/**
 * Until there is room to write.
 */
#define MSEC_WRITABLE 4

/**
 * The method burns CPU for milliseconds: it runs on an offload thread, where it may block the
 * thread too.
 */
#define MSEC_METHOD_HEAVY 1

/**
 * The method answers at once: it runs on the core's loop, without a coroutine, and cannot block.
 */
#define MSEC_METHOD_CALLBACK 2

/**
 * The number of requests in flight is not adapted to what the method can take.
 */
#define MSEC_METHOD_FIXED 4

/**
 * With `client_ca`: those who show no certificate are served as well, without an identity.
 */
#define MSEC_TLS_IF_SHOWN 1

/**
 * Those who speak plainly are served at the same address too. The first byte decides. For the time
 * of a change from one to the other.
 */
#define MSEC_TLS_ACCEPT_PLAIN 2

/**
 * Counts the changes of the C interface. A program made for a number runs with every library of
 * the same SONAME whose number is not lower.
 */
#define MSEC_ABI_VERSION 1

/**
 * A bounded queue of pointers. Usable from every core and thread.
 */
typedef struct msec_channel msec_channel;

/**
 * Calls one service. Usable from every thread.
 */
typedef struct msec_client msec_client;

/**
 * What coroutines and threads wait for together. Usable from every core and thread.
 */
typedef struct msec_condition msec_condition;

/**
 * A request that is being served. Valid while its handler runs, on the handler's thread.
 */
typedef struct msec_context msec_context;

/**
 * A running engine; servers and clients are put on it. Usable from every thread.
 */
typedef struct msec_engine msec_engine;

/**
 * Where a plugin runs: what its `init` is given. Usable from every thread.
 */
typedef struct msec_host msec_host;

/**
 * A key to a pointer that each coroutine has its own of. Usable from every thread.
 */
typedef struct msec_local msec_local;

/**
 * Held by one at a time; not recursive. Usable from every core and thread.
 */
typedef struct msec_mutex msec_mutex;

/**
 * A call under way. One thread at a time.
 */
typedef struct msec_pending msec_pending;

/**
 * A successful answer. One thread at a time.
 */
typedef struct msec_reply msec_reply;

/**
 * So many permits. Usable from every core and thread.
 */
typedef struct msec_semaphore msec_semaphore;

/**
 * A running server. Usable from every thread that is no core's.
 */
typedef struct msec_server msec_server;

/**
 * A server that is being described. One thread at a time.
 */
typedef struct msec_server_builder msec_server_builder;

/**
 * A function on a coroutine of its own. Usable from every thread.
 */
typedef struct msec_task msec_task;

/**
 * A text that was asked for. Never changes.
 */
typedef struct msec_text msec_text;

/**
 * A user header of a call. Nothing of it is kept.
 */
typedef struct msec_header {
  /**
   * The key, not NULL.
   */
  const char *key;
  /**
   * The first byte of the value.
   */
  const char *value;
  /**
   * Bytes of the value.
   */
  size_t value_size;
} msec_header;

/**
 * What a call may say beyond its method and message. Begin with `MSEC_CALL_OPTIONS_INIT`. Nothing
 * of it is kept.
 */
typedef struct msec_call_options {
  /**
   * `sizeof(msec_call_options)`.
   */
  uint32_t size;
  /**
   * How long to wait, in milliseconds: connecting, sending and waiting together. A nested call
   * waits no longer than its request's caller does. 0: a second.
   */
  uint32_t timeout_ms;
  /**
   * `MSEC_CALL_...`, or-ed.
   */
  uint32_t flags;
  /**
   * Send it a second time, to another instance, if there is no answer after so many
   * milliseconds; implies `MSEC_CALL_IDEMPOTENT`. 0: never.
   */
  uint32_t hedge_after_ms;
  /**
   * Which request goes first when the callee cannot serve all: `MSEC_PRIORITY_CRITICAL`,
   * `MSEC_PRIORITY_DEFAULT`, `MSEC_PRIORITY_SHEDDABLE`; 0: that of the request that this call is
   * made for.
   */
  uint32_t priority;
  /**
   * The lane of the connection, 1 to 65535: calls on a lane leave in the order in which they
   * were made, on a connection of their own. 0: that which calls share.
   */
  uint32_t lane;
  /**
   * What the call is about, such as a user: calls with one key go to one instance if the
   * service's policy is `hash`, and to one side of a canary. NULL: nothing.
   */
  const char *key;
  /**
   * Bytes of the key.
   */
  size_t key_size;
  /**
   * The name that the callee sees as caller; NULL: that of the engine.
   */
  const char *caller;
  /**
   * User headers, up to 64 of 8 KiB together; NULL: none.
   */
  const struct msec_header *headers;
  /**
   * How many.
   */
  size_t headers_count;
} msec_call_options;

/**
 * Is told how a call ended: `code` 0 and a reply that it has to free, or another code and NULL,
 * and the text of the failure in `msec_error_text`. Runs on a core's loop, where it must not
 * block.
 */
typedef void (*msec_done)(void *userdata, int32_t code, struct msec_reply *reply);

/**
 * Bytes that are not the reader's, without a NUL at the end. `data` is NULL if there are none at
 * all, which is not the same as `size` 0.
 */
typedef struct msec_slice {
  /**
   * The first byte.
   */
  const char *data;
  /**
   * How many.
   */
  size_t size;
} msec_slice;

/**
 * A certificate and its private key, in files of PEM form. Nothing of it is kept.
 */
typedef struct msec_certificate {
  /**
   * File of the certificate, followed there by those that lead to its CA; not NULL.
   */
  const char *chain;
  /**
   * File of the private key; not NULL.
   */
  const char *key;
} msec_certificate;

/**
 * How an engine secures calls to addresses with `@tls`. Begin with
 * `MSEC_CLIENT_TLS_OPTIONS_INIT`. Nothing of it is kept.
 */
typedef struct msec_client_tls_options {
  /**
   * `sizeof(msec_client_tls_options)`.
   */
  uint32_t size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * File of the CAs that servers are trusted by, and no others; not NULL.
   */
  const char *ca;
  /**
   * Shown to servers that demand a certificate. NULL: none.
   */
  const struct msec_certificate *certificate;
  /**
   * The name that servers' certificates must be for, where the address says none. NULL: the IP
   * address that is called.
   */
  const char *server_name;
} msec_client_tls_options;

/**
 * A setting, by the name that it has in the environment. Nothing of it is kept.
 */
typedef struct msec_setting {
  /**
   * `MSEC_STALL_MS`, for one; not NULL.
   */
  const char *name;
  /**
   * The value as the environment would have it; not NULL. Empty sets nothing.
   */
  const char *value;
} msec_setting;

/**
 * What an engine is started with, beside the environment (`MSEC_CORES`, `MSEC_IO`, …), which
 * decides what is 0 or NULL here. Begin with `MSEC_ENGINE_OPTIONS_INIT`.
 */
typedef struct msec_engine_options {
  /**
   * `sizeof(msec_engine_options)`.
   */
  uint32_t size;
  /**
   * The `MSEC_ABI_VERSION` that the program was compiled with.
   */
  uint32_t abi_version;
  /**
   * Core threads, 1 to 255; 0: `MSEC_CORES`, or the CPUs that the process may use.
   */
  uint32_t cores;
  /**
   * Address space of a coroutine's stack in KiB, 64 to 65536; 0: `MSEC_STACK_KB`, or 256.
   */
  uint32_t stack_kb;
  /**
   * The service that this program is or belongs to, `First.second`: what callees see as caller.
   * Not kept; NULL: `MSEC_SERVICE`, or none.
   */
  const char *service;
  /**
   * File of routes, followed while it changes. Not kept; NULL: `MSEC_ROUTES`, or none.
   */
  const char *routes;
  /**
   * How calls to addresses with `@tls` are secured. Not kept; NULL: `MSEC_TLS_CA` and the like,
   * or there are none.
   */
  const struct msec_client_tls_options *tls;
  /**
   * Whatever else the environment could say, and before it. Not kept; NULL: nothing.
   */
  const struct msec_setting *settings;
  /**
   * How many.
   */
  size_t settings_count;
} msec_engine_options;

/**
 * Is given a pointer that a coroutine does not have any more, never NULL. Runs on that coroutine,
 * where it may suspend. No C++ exception may leave it.
 */
typedef void (*msec_local_end)(void *pointer);

/**
 * A key and a value of a record. Nothing of it is kept.
 */
typedef struct msec_field {
  /**
   * The key, not NULL.
   */
  const char *key;
  /**
   * The value, not NULL.
   */
  const char *value;
} msec_field;

/**
 * A label of an attribute. Nothing of it is kept.
 */
typedef struct msec_label {
  /**
   * The key, not NULL.
   */
  const char *key;
  /**
   * The value, not NULL.
   */
  const char *value;
} msec_label;

/**
 * The function of a task; what it returns is handed to who joins it. No C++ exception may leave
 * it.
 */
typedef int32_t (*msec_task_function)(void *argument);

/**
 * Says where an answer ends: how many bytes it has; 0 if more are needed to tell; a negative
 * number if this is no answer.
 */
typedef int64_t (*msec_length)(void *userdata, const char *data, size_t size);

/**
 * Something that is waited for: one of the pointers, the others are NULL.
 */
typedef struct msec_wait {
  /**
   * An item of a channel. A channel that is closed and empty is passed over.
   */
  const struct msec_channel *channel;
  /**
   * The answer of a call, which `msec_pending_wait` takes then without waiting.
   */
  const struct msec_pending *pending;
  /**
   * The end of a task, which `msec_task_join` takes then without waiting.
   */
  const struct msec_task *task;
} msec_wait;

/**
 * Serves a request: reads it from `context`, sets the answer there, and returns 0; or another
 * code, which the caller gets instead. Runs on a coroutine of a core thread, several at a time
 * and on all cores, where it may block with the functions of this library. No C++ exception may
 * leave it, but in a plugin with a barrier.
 */
typedef int32_t (*msec_handler)(void *userdata, struct msec_context *context);

/**
 * How a method is run. Begin with `MSEC_METHOD_OPTIONS_INIT`.
 */
typedef struct msec_method_options {
  /**
   * `sizeof(msec_method_options)`.
   */
  uint32_t size;
  /**
   * `MSEC_METHOD_HEAVY`, `MSEC_METHOD_CALLBACK` and `MSEC_METHOD_FIXED`, or-ed.
   */
  uint32_t flags;
  /**
   * Requests of this method in flight in this process at most; more are answered with -101.
   * 0: no such bound.
   */
  uint32_t requests_max;
  /**
   * 0. Without it the next field might follow a gap, in which anything may stand.
   */
  uint32_t reserved;
} msec_method_options;

/**
 * How a server secures the addresses that it listens at with `@tls`. Begin with
 * `MSEC_SERVER_TLS_OPTIONS_INIT`. Nothing of it is kept.
 */
typedef struct msec_server_tls_options {
  /**
   * `sizeof(msec_server_tls_options)`.
   */
  uint32_t size;
  /**
   * `MSEC_TLS_IF_SHOWN` and `MSEC_TLS_ACCEPT_PLAIN`, or-ed.
   */
  uint32_t flags;
  /**
   * What is shown, not NULL: the first to those who ask for no name, or for one that none is
   * for; another to those who ask for a name that it is for (SNI).
   */
  const struct msec_certificate *certificates;
  /**
   * How many, 1 to 64.
   */
  size_t certificates_count;
  /**
   * File of the CAs of one of which those who connect must show a certificate (mutual TLS).
   * NULL: nothing is demanded.
   */
  const char *client_ca;
} msec_server_tls_options;

/**
 * Calls `handler` with the other two, and returns what it returns; catches what it throws, and
 * makes a code and a text (`msec_context_fail_text`) of it. See `msec_plugin`.
 */
typedef int32_t (*msec_barrier)(msec_handler handler, void *userdata, struct msec_context *context);

/**
 * What a plugin tells of itself. Begin with `MSEC_PLUGIN_INIT`.
 */
typedef struct msec_plugin {
  /**
   * `sizeof(msec_plugin)`.
   */
  uint32_t size;
  /**
   * The oldest `MSEC_ABI_VERSION` that it can work with.
   */
  uint32_t abi_min;
  /**
   * The `MSEC_ABI_VERSION` that it was compiled with.
   */
  uint32_t abi_max;
  /**
   * The service that it is made for, `First.second`; NULL: any.
   */
  const char *name;
  /**
   * Which build this is, for people: a line of `log/host.log`. NULL: it does not say.
   */
  const char *build_id;
  /**
   * Starts the business and adds its methods to `builder`, which it must neither start nor free.
   * On the worker's main thread, which it may block; calls are taken after it returned 0.
   * Another code ends the worker; `msec_host_fail_text` says why. `host` lives until `fini` has
   * returned. No C++ exception may leave it. Must not be NULL.
   */
  int32_t (*init)(const struct msec_host *host, struct msec_server_builder *builder);
  /**
   * Whether calls can be taken: 0 if so. Asked after `init`, again and again, on the main
   * thread, for as long as `[SRPC] ready_ms` allows. NULL: at once.
   */
  int32_t (*ready)(void);
  /**
   * The end: no handler runs any more. On the main thread. NULL: nothing is to be done.
   */
  void (*fini)(void);
  /**
   * What its handlers are called through, so that their exceptions are caught by the runtime of
   * C++ that they were thrown in. `MSEC_PLUGIN_INIT` sets it in C++. A plugin in C that calls
   * C++ may name a function that does what `msec_plugin_catch` does. NULL: no exception may
   * leave a handler, and one that does ends the worker.
   */
  msec_barrier barrier;
} msec_plugin;

/**
 * The one function that a plugin must export, under the name `msec_plugin_v1`: what it tells of
 * itself, which lives as long as the process.
 */
typedef const struct msec_plugin *(*msec_plugin_entry)(void);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * A channel that holds up to `capacity` items, at least one. To be given back with
 * `msec_channel_free`.
 */
struct msec_channel *msec_channel_new(size_t capacity);

/**
 * Frees a channel that nobody waits for; what is in it is forgotten. NULL is freed without effect.
 */
void msec_channel_free(struct msec_channel *channel);

/**
 * Puts an item in, and waits for room: suspends the coroutine, or blocks the thread. `timeout_ms`
 * 0 waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -104 the channel is closed; -2 on a
 * core's loop, if it is full. The item is then still the caller's.
 */
int32_t msec_channel_send(const struct msec_channel *channel, void *item, uint32_t timeout_ms);

/**
 * Takes the oldest item out, and waits for one: suspends the coroutine, or blocks the thread.
 * `timeout_ms` 0 waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -104 the channel is closed and
 * empty; -2 on a core's loop, if it is empty.
 */
int32_t msec_channel_recv(const struct msec_channel *channel, uint32_t timeout_ms, void **item);

/**
 * Takes the oldest item out of whichever of several channels has one, and waits for the first to
 * have: suspends the coroutine, or blocks the thread. Of several that have, the first in the list
 * counts; what is closed and empty is passed over. `index` becomes the place of the channel in the
 * list. Ends of tasks and answers can be waited for beside others, by sending something as they
 * come. `timeout_ms` 0 waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -104 all are closed and empty; -2
 * on a core's loop, if all are empty.
 */
int32_t msec_channel_recv_any(const struct msec_channel *const *channels,
                              size_t channels_count,
                              uint32_t timeout_ms,
                              size_t *index,
                              void **item);

/**
 * Lets nothing more in: who waits to send fails, and what is in it can still be received.
 *
 * Errors: -1.
 */
int32_t msec_channel_close(const struct msec_channel *channel);

/**
 * A client of a service (`L1.L2`, found in the engine's routes) or of one address (`ip:port`,
 * `ip:port@udp`, `ip:port@tls`, `unix:/path`). Connects when it is first used. To be given back
 * with `msec_client_free`.
 *
 * Errors: -14 the text is neither.
 */
int32_t msec_client_new(const struct msec_engine *engine,
                        const char *target,
                        struct msec_client **client);

/**
 * Frees a client; calls that are under way go on. NULL is freed without effect.
 */
void msec_client_free(struct msec_client *client);

/**
 * Calls a method and waits for its answer: suspends the coroutine, or blocks the thread if it is
 * not a core's. `options` may be NULL, and `reply` too, for who wants no answer. The reply is to
 * be given back with `msec_reply_free`.
 *
 * Errors: -10 no answer in time; -11 the connection failed or died; -103 the request that this
 * call is made for was cancelled; -105 too large; -15 no instance of the service is known; -101
 * the peer does not take what is sent to it; and whatever code the callee answered with.
 */
int32_t msec_client_call(const struct msec_client *client,
                         const char *method,
                         const char *body,
                         size_t body_size,
                         const struct msec_call_options *options,
                         struct msec_reply **reply);

/**
 * Calls and has `done` called with the answer: exactly once, also when the call fails before it
 * leaves, and never before this returns. `options` may be NULL.
 *
 * Errors: -1, and then `done` is not called.
 */
int32_t msec_client_call_back(const struct msec_client *client,
                              const char *method,
                              const char *body,
                              size_t body_size,
                              const struct msec_call_options *options,
                              msec_done done,
                              void *userdata);

/**
 * A condition that nobody waits for. To be given back with `msec_condition_free`.
 */
struct msec_condition *msec_condition_new(void);

/**
 * Frees a condition that nobody waits for. NULL is freed without effect.
 */
void msec_condition_free(struct msec_condition *condition);

/**
 * Gives up `mutex`, which the caller holds, waits to be notified, and takes the mutex again, also
 * after a failure. May return without anything having changed: look again. `timeout_ms` 0 waits as
 * long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled, and then the mutex is not held.
 */
int32_t msec_condition_wait(const struct msec_condition *condition,
                            const struct msec_mutex *mutex,
                            uint32_t timeout_ms);

/**
 * Wakes one of those that wait.
 *
 * Errors: -1.
 */
int32_t msec_condition_notify_one(const struct msec_condition *condition);

/**
 * Wakes all those that wait.
 *
 * Errors: -1.
 */
int32_t msec_condition_notify_all(const struct msec_condition *condition);

/**
 * The value of a setting that is in force, by the name that the page `/config` gives it, such as
 * "stall_ms": it may come from the options, from the environment, or be a default. Of TLS there
 * are files, never what is in them. The text is to be given back with `msec_text_free`.
 *
 * Errors: -1 there is no such setting.
 */
int32_t msec_engine_config(const struct msec_engine *engine,
                           const char *name,
                           struct msec_text **value);

/**
 * The body of the request: a serialized message, or whatever the caller sent. Valid until the
 * handler returns.
 */
struct msec_slice msec_context_body(const struct msec_context *context);

/**
 * The full name of the method that the caller used, `package.Service.Method`. Valid until the
 * handler returns.
 */
struct msec_slice msec_context_method(const struct msec_context *context);

/**
 * The calling service as it names itself; not authenticated, may be empty. Valid until the handler
 * returns.
 */
struct msec_slice msec_context_caller(const struct msec_context *context);

/**
 * Where the request came from: `ip:port`, or `unix:`. Valid until the handler returns.
 */
struct msec_slice msec_context_peer(struct msec_context *context);

/**
 * Milliseconds that the caller still waits; -1 when there is no limit.
 */
int64_t msec_context_remaining_ms(const struct msec_context *context);

/**
 * Whether nobody waits for the answer any more: the caller has cancelled, its connection has died,
 * or its deadline has passed. Long work without blocking calls should look at it.
 */
bool msec_context_is_cancelled(const struct msec_context *context);

/**
 * Whether the request is dyed: every log line and span of it is kept, at every hop.
 */
bool msec_context_is_dyed(const struct msec_context *context);

/**
 * Whether the caller waits for no answer.
 */
bool msec_context_is_one_way(const struct msec_context *context);

/**
 * The id that this request has in all services; never 0.
 */
uint64_t msec_context_flow_id(const struct msec_context *context);

/**
 * Which try of the caller this is: 0 for the first, 1, 2, … for retries.
 */
uint32_t msec_context_attempt(const struct msec_context *context);

/**
 * Which request goes first when not all can be served: one of `MSEC_PRIORITY_...`. Calls that are
 * made for this one inherit it. 0 for NULL.
 */
uint32_t msec_context_priority(const struct msec_context *context);

/**
 * Where the request is in its trace: what an HTTP request of the handler's own is to carry as its
 * header `traceparent`; calls by a msec_client carry it by themselves. `data` is NULL where spans
 * are off and the caller has sent none. Valid until the handler returns.
 */
struct msec_slice msec_context_traceparent(struct msec_context *context);

/**
 * The value of a user header; of several the last. `data` is NULL if there is none. Valid until
 * the handler returns.
 */
struct msec_slice msec_context_header(const struct msec_context *context, const char *key);

/**
 * The user header with this index, counted from 0; false, and nothing written, beyond the last. A
 * priority travels as one, too. What is written is valid until the handler returns.
 */
bool msec_context_header_at(const struct msec_context *context,
                            size_t index,
                            struct msec_slice *key,
                            struct msec_slice *value);

/**
 * Sets the business return value that travels in the answer's head; 0 unless set.
 */
void msec_context_set_result(struct msec_context *context, int32_t result);

/**
 * Sets the body of the answer: a copy of `size` bytes at `data`. It is sent if the handler returns
 * 0. Called again, it replaces what was set.
 *
 * Errors: -1.
 */
int32_t msec_context_answer(struct msec_context *context, const char *data, size_t size);

/**
 * A place for the body of the answer, `size` bytes long, to be filled by the caller before the
 * handler returns: what `msec_context_answer` does without the copy. NULL for a NULL context or
 * where memory is short. Valid until either of the two is called again.
 */
char *msec_context_answer_place(struct msec_context *context, size_t size);

/**
 * Says what the caller is told if the handler returns a code other than 0: what happened, to what,
 * and why; no user data. Copied, and cut after 4 KiB.
 */
void msec_context_fail_text(struct msec_context *context, const char *data, size_t size);

/**
 * Puts dye rules in force in the place of those that were, on all cores: `rules` has semicolons
 * between them, such as `caller=Demo.web uin=11228491 for=10m; method=a.B.* percent=0.5`. At most
 * 64; empty for none. Must not be called on a coroutine.
 *
 * Errors: -1 a rule that is none: the old ones stay; -2 on a core's thread.
 */
int32_t msec_engine_set_dye_rules(const struct msec_engine *engine, const char *rules);

/**
 * Starts an engine. `options` may be NULL.
 *
 * Threads are started; none is before. Must not be called on a coroutine. To be given back with
 * `msec_engine_free`.
 *
 * Errors: -1 an option or a variable of the environment makes no sense; -2 a file, a thread or the
 * kernel's I/O could not be had, or this is a core's thread.
 */
int32_t msec_engine_new(const struct msec_engine_options *options, struct msec_engine **engine);

/**
 * Stops an engine, once its servers and clients are freed too: until then they keep it. NULL is
 * freed without effect. Must not be called on a coroutine.
 */
void msec_engine_free(struct msec_engine *engine);

/**
 * How this engine does its I/O: "uring" or "epoll". Lives as long as the process.
 */
const char *msec_engine_io(const struct msec_engine *engine);

/**
 * The text of a code, such as "timeout" for -10; "unkown error" (as old monitoring has it) for a
 * number that is none. Never NULL; lives as long as the process.
 */
const char *msec_strerror(int32_t code);

/**
 * What the last failed function of this library had to say on this thread: what happened, to
 * what, and the likely cause. Empty before any. Never NULL; valid until the next call of a
 * function of this library on this thread, or the next suspension.
 */
const char *msec_error_text(void);

/**
 * Whether the last failed function of this library failed because a service has answered so; else
 * it was found here, such as that no answer came. Valid as long as `msec_error_text` is.
 */
bool msec_error_answered(void);

/**
 * Whether a call that ended with this code surely did not run, and another attempt, elsewhere or
 * later, may do better.
 */
bool msec_error_retryable(int32_t code);

/**
 * The engine that the plugin is on, for clients and tasks. Not to be freed. NULL for NULL.
 */
const struct msec_engine *msec_host_engine(const struct msec_host *host);

/**
 * The service that the plugin is, `First.second`. NULL for NULL.
 */
const char *msec_host_service(const struct msec_host *host);

/**
 * The text of `[SRPC] conf`; empty if there is none. NULL for NULL.
 */
const char *msec_host_conf(const struct msec_host *host);

/**
 * Which of the service's workers this process is, from 0.
 */
uint32_t msec_host_worker(const struct msec_host *host);

/**
 * A value of config.ini as it was when the worker started; NULL if there is none.
 */
const char *msec_host_config(const struct msec_host *host, const char *section, const char *key);

/**
 * Says why `init` is about to fail. The last text counts. Copied.
 *
 * Errors: -1.
 */
int32_t msec_host_fail_text(const struct msec_host *host, const char *data, size_t size);

/**
 * Who the peer is by its certificate, which a CA that this server trusts has signed: `what` is one
 * of `MSEC_IDENTITY_...`, and `index` counts from 0 where there may be several. `data` is NULL
 * beyond the last, and for everything if the request did not come by TLS from a peer that has
 * shown a certificate. Valid until the handler returns.
 */
struct msec_slice msec_context_identity(struct msec_context *context, uint32_t what, size_t index);

/**
 * A key, for which every coroutine has NULL at first. `end`, if not NULL, is given each pointer
 * that was set, when another one takes its place or its coroutine ends: the last set comes first.
 * To be given back with `msec_local_free`.
 */
struct msec_local *msec_local_new(msec_local_end end);

/**
 * Frees a key. Pointers that coroutines have by it are given to its end as before. NULL is freed
 * without effect.
 */
void msec_local_free(struct msec_local *local);

/**
 * Sets the pointer of the running coroutine; NULL takes it away. Tasks that it spawns do not
 * inherit it. On a thread that is no core's the pointer is the thread's and ends with it, though
 * not surely with the main thread; in a function of msec_offload it is the function's.
 *
 * Errors: -1; -2 on the loop of a core (callback methods, callbacks), or late in the end of a
 * thread. The pointer is then still the caller's.
 */
int32_t msec_local_set(const struct msec_local *local, void *pointer);

/**
 * The pointer of the running coroutine, or of the thread; NULL where none was set, and on the loop
 * of a core.
 */
void *msec_local_pointer(const struct msec_local *local);

/**
 * Whether records of that level would be kept here: by the level, or because the request that this
 * code works for is dyed. For what is costly to find out only to log it. From any thread; never
 * suspends.
 */
bool msec_log_is_on(uint32_t level);

/**
 * Logs a record, if its level is on. `source` is the place in the program, `file.cpp:12`; `fields`
 * may be NULL. Within a request, the record has the request's fields by itself. From any thread;
 * never suspends, and never blocks: what has no room is dropped and counted.
 *
 * Errors: -1.
 */
int32_t msec_log(uint32_t level,
                 const char *source,
                 const char *data,
                 size_t size,
                 const struct msec_field *fields,
                 size_t fields_count);

/**
 * Adds a field to all further records of the coroutine, which is that of the request it serves; on
 * a plain thread, of the thread. A second value for a key replaces the first; up to 16 keys. If a
 * dye rule waits for this field, the request is dyed.
 *
 * Errors: -1; -2 on the loop of a core (callback methods, callbacks).
 */
int32_t msec_log_option(const char *key, const char *value);

/**
 * Waits until what was logged before is written, or lost and counted, but not longer than
 * `patience_ms`; whether it is. For the end of a program; blocks the thread.
 */
bool msec_log_flush(uint32_t patience_ms);

/**
 * Adds to a sum. `name` is cut at 128 bytes; `labels` may be NULL. From any thread; never
 * suspends.
 */
void msec_metric_add(const char *name,
                     uint64_t amount,
                     const struct msec_label *labels,
                     size_t labels_count);

/**
 * Sets a value, of which the last one counts. `name` is cut at 128 bytes; `labels` may be NULL.
 * From any thread; never suspends.
 */
void msec_metric_set(const char *name,
                     int64_t value,
                     const struct msec_label *labels,
                     size_t labels_count);

/**
 * Counts a value by its size, in a histogram. `name` is cut at 128 bytes; `labels` may be NULL.
 * From any thread; never suspends.
 */
void msec_metric_record(const char *name,
                        uint64_t value,
                        const struct msec_label *labels,
                        size_t labels_count);

/**
 * A mutex that nobody holds. To be given back with `msec_mutex_free`.
 */
struct msec_mutex *msec_mutex_new(void);

/**
 * Frees a mutex that nobody holds or waits for. NULL is freed without effect.
 */
void msec_mutex_free(struct msec_mutex *mutex);

/**
 * Takes a mutex, and waits for it: suspends the coroutine, or blocks the thread. Who holds it
 * already waits for itself. `timeout_ms` 0 waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -2 on a core's loop, if it is held.
 */
int32_t msec_mutex_lock(const struct msec_mutex *mutex, uint32_t timeout_ms);

/**
 * Takes a mutex if nobody holds it.
 *
 * Errors: -101 somebody does.
 */
int32_t msec_mutex_try_lock(const struct msec_mutex *mutex);

/**
 * Gives up a mutex that the caller holds.
 *
 * Errors: -1.
 */
int32_t msec_mutex_unlock(const struct msec_mutex *mutex);

/**
 * Runs a function on an offload thread, where it may block the thread, and waits for it: the
 * coroutine is suspended. On a thread that is no core's it runs right there. `returned`, if not
 * NULL, becomes what it returned.
 *
 * Errors: -101 too many jobs wait, and it did not run; -103 the caller was cancelled: the function
 * may then still run, so what `argument` points to must outlive it.
 */
int32_t msec_offload(msec_task_function function, void *argument, int32_t *returned);

/**
 * Says who may see the pages that tell of the inside: one of `MSEC_PAGES_...`; unless it is said,
 * whoever is on this machine. `/health` and `/ready` are open to all.
 *
 * Errors: -1.
 */
int32_t msec_server_builder_pages(struct msec_server_builder *builder, uint32_t who);

/**
 * Adds a name under which browsers may see those pages, beside addresses and `localhost`: the
 * `Host` that they send, without its port.
 *
 * Errors: -1.
 */
int32_t msec_server_builder_host(struct msec_server_builder *builder, const char *name);

/**
 * Lets pages of an origin (`https://shop.example`), or with `*` of all, call methods from browsers
 * (CORS). Without it, browsers are refused with -107 unless the page comes from here.
 *
 * Errors: -1.
 */
int32_t msec_server_builder_cors(struct msec_server_builder *builder, const char *origin);

/**
 * Starts a call, whose answer is waited for later: `msec_pending_wait` or `msec_pending_free` has
 * to follow. `options` may be NULL.
 *
 * Errors: -1. Whatever else fails is told by `msec_pending_wait`.
 */
int32_t msec_client_start(const struct msec_client *client,
                          const char *method,
                          const char *body,
                          size_t body_size,
                          const struct msec_call_options *options,
                          struct msec_pending **pending);

/**
 * Waits for the answer of a started call: suspends the coroutine, or blocks the thread. The handle
 * is used up, also by a failure. `reply` may be NULL.
 *
 * Errors: as `msec_client_call`.
 */
int32_t msec_pending_wait(struct msec_pending *pending, struct msec_reply **reply);

/**
 * Gives up a started call: it is cancelled. NULL is freed without effect.
 */
void msec_pending_free(struct msec_pending *pending);

/**
 * What `msec-worker` calls, with its arguments, as `main` has them; for nobody else. Returns the
 * exit status.
 */
int msec_worker_main(int count, const char *const *arguments);

/**
 * Has a crash (a stack overflow, a bad access, an abort, a C++ exception that left a handler)
 * write one line to standard error that names the signal and the method, before the process dies
 * of it as usual; and a core that stalls, its stack. Once a process, before an engine is started.
 *
 * It takes the signals of crashes and `SIGRTMIN + 5`, which interrupts what a stalled handler is
 * blocked in, as any signal does.
 *
 * Errors: -2.
 */
int32_t msec_process_name_crashes(void);

/**
 * Bounds the requests of a caller, by the name that it gives itself: `per_second` of them (1 to a
 * million), and `burst` at once, on all cores together. More are answered with -108. `caller` NULL
 * is each caller that has no quota of its own; those beyond the first 4096 names share one.
 *
 * Errors: -1.
 */
int32_t msec_server_builder_quota(struct msec_server_builder *builder,
                                  const char *caller,
                                  uint32_t per_second,
                                  uint32_t burst);

/**
 * Sends bytes to `address` (`ip:port`, `ip:port@tls`, `unix:/path`) and waits for an answer, whose
 * end `length` finds. One request at a time a connection, which is kept for the next one. Only on
 * a coroutine. `timeout_ms` 0: a second. The reply is to be given back with `msec_reply_free`; its
 * body is the answer without what came after its end.
 *
 * Errors: -10 no whole answer in time; -11 the connection failed or died; -3 `length` said so;
 * -105 an answer over the limit of a body; -103 cancelled; -14 no address; -2 not on a coroutine.
 */
int32_t msec_raw_call(const char *address,
                      const char *data,
                      size_t size,
                      msec_length length,
                      void *userdata,
                      uint32_t timeout_ms,
                      struct msec_reply **reply);

/**
 * Suspends the coroutine until a descriptor is ready: `what` is `MSEC_READABLE` or
 * `MSEC_WRITABLE`. The descriptor stays open meanwhile. `timeout_ms` 0 waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -1 `fd` or `what` is none; -2 not
 * on a coroutine, or the kernel refuses the descriptor.
 */
int32_t msec_wait_fd(int32_t fd, uint32_t what, uint32_t timeout_ms);

/**
 * The body of the answer as it came. Valid until the reply is freed.
 */
struct msec_slice msec_reply_body(const struct msec_reply *reply);

/**
 * The business return value that the handler set; 0 unless it did.
 */
int32_t msec_reply_result(const struct msec_reply *reply);

/**
 * Frees an answer. NULL is freed without effect.
 */
void msec_reply_free(struct msec_reply *reply);

/**
 * Everything that was counted since the process began, in the text form 0.0.4 of Prometheus, as
 * the page `/metrics` shows it. The text is to be given back with `msec_text_free`. Asks all
 * cores; must not be called on a coroutine.
 *
 * Errors: -1; -2 on a core's thread.
 */
int32_t msec_engine_metrics(const struct msec_engine *engine, struct msec_text **metrics);

/**
 * Notes something in the span of the request that the calling code works for: shown with the span,
 * if that is kept. Up to 256 bytes are kept. On a handler's coroutine or a task that it has
 * spawned; elsewhere nothing happens. Never suspends.
 */
void msec_annotate(const char *data, size_t size);

/**
 * Reads a file of routes, which holds from the next call on. Must not be called on a coroutine.
 *
 * Errors: -1 a mistake in the file, with its line: the old table stays; -2 it cannot be read, or
 * this is a core's thread.
 */
int32_t msec_engine_load_routes(const struct msec_engine *engine, const char *path);

/**
 * Replaces all routes, policies included, with those of a text that a file of routes could have;
 * when this returns, every core has them. For programs and operators, who are believed. Must not
 * be called on a coroutine.
 *
 * Errors: -1 a mistake in the text, with its line: the old table stays; -2 on a core's thread.
 */
int32_t msec_engine_set_routes(const struct msec_engine *engine, const char *routes);

/**
 * As `msec_engine_set_routes`, for who watches a registry, which may be wrong: a service that
 * would be left with less than half of the instances of the last ten seconds, or without any,
 * stays as it is until `msec_engine_confirm_routes`; the others change. `held`, if not NULL,
 * becomes the names of the services that are held, one a line, to be given back with
 * `msec_text_free`. From any thread; returns at once, and the cores follow within microseconds.
 *
 * Errors: -1 a mistake in the text, with its line: the old table stays.
 */
int32_t msec_engine_push_routes(const struct msec_engine *engine,
                                const char *routes,
                                struct msec_text **held);

/**
 * Lets come true what a push said of a service and what was held. From any thread.
 *
 * Errors: -1 nothing of that service is held.
 */
int32_t msec_engine_confirm_routes(const struct msec_engine *engine, const char *service);

/**
 * All services that can be called by name, and why their calls go where they go: the JSON of the
 * page `/routes`. The text is to be given back with `msec_text_free`. Asks all cores: suspends the
 * coroutine, or blocks the thread.
 *
 * Errors: -1; -2 on the loop of a core (callback methods, callbacks).
 */
int32_t msec_engine_explain_routes(const struct msec_engine *engine, struct msec_text **json);

/**
 * Picks the instance of a service that is to be called next, for a call that is made by other
 * means than a client of the engine. `address` becomes where it is, as `10.0.0.1:7963`,
 * `10.0.0.1:7963@udp` or `unix:/run/a`, to be given back with `msec_text_free`. It may be called
 * once, often or never: only what `msec_engine_report_route` says counts. An address is its own
 * instance. From any thread; one that is no core's of this engine waits for an answer of a core.
 *
 * Errors: -14 neither a service name nor an address; -15 no such service, or no instance that may
 * be called; -2 the engine has stopped, or this is the loop of another engine's core.
 */
int32_t msec_engine_pick_route(const struct msec_engine *engine,
                               const char *service,
                               struct msec_text **address);

/**
 * Tells what came of calls that were made by other means; it counts as the ends of the engine's
 * own calls do. `instance`: the address that was picked, or a host without a port, for all
 * instances there. `failures_count` 0: an answer has come after `latency_us`; else so many calls
 * have failed, of which 16 count. From any thread; never waits.
 *
 * Errors: -14 `service` is no service name and no address, or `instance` no address and no host.
 */
int32_t msec_engine_report_route(const struct msec_engine *engine,
                                 const char *service,
                                 const char *instance,
                                 uint32_t failures_count,
                                 uint64_t latency_us);

/**
 * Waits for the first of several things: suspends the coroutine, or blocks the thread. If several
 * have come, the first in the list counts. `index` becomes its place in the list, `item` what came
 * out of it if it is a channel, else NULL. `timeout_ms` 0 waits as long as it takes: on a plain
 * thread also for a core that a handler holds up, which `msec_pending_wait` does not.
 *
 * Errors: -10 the time is over, also of an empty list; -103 the caller was cancelled; -104 all are
 * channels that are closed and empty; -1 an element of the list is not one thing, or there is
 * neither an element nor a time; -2 on a core's loop, if nothing has come.
 */
int32_t msec_select(const struct msec_wait *waits,
                    size_t waits_count,
                    uint32_t timeout_ms,
                    size_t *index,
                    void **item);

/**
 * A semaphore with so many permits. To be given back with `msec_semaphore_free`.
 */
struct msec_semaphore *msec_semaphore_new(size_t permits);

/**
 * Frees a semaphore that nobody waits for. NULL is freed without effect.
 */
void msec_semaphore_free(struct msec_semaphore *semaphore);

/**
 * Takes a permit, and waits for one: suspends the coroutine, or blocks the thread. `timeout_ms` 0
 * waits as long as it takes.
 *
 * Errors: -10 the time is over; -103 the caller was cancelled; -2 on a core's loop, if none is
 * free.
 */
int32_t msec_semaphore_acquire(const struct msec_semaphore *semaphore, uint32_t timeout_ms);

/**
 * Takes a permit if one is free.
 *
 * Errors: -101 none is.
 */
int32_t msec_semaphore_try_acquire(const struct msec_semaphore *semaphore);

/**
 * Gives permits back, or adds new ones.
 *
 * Errors: -1.
 */
int32_t msec_semaphore_release(const struct msec_semaphore *semaphore, size_t permits);

/**
 * Begins to describe a server. To be given to `msec_server_start` or `msec_server_builder_free`.
 */
struct msec_server_builder *msec_server_builder_new(void);

/**
 * Gives up a description. NULL is freed without effect.
 */
void msec_server_builder_free(struct msec_server_builder *builder);

/**
 * Adds a method, `package.Service.Method`. `options` may be NULL. `userdata` is handed to each
 * call of `handler` and must live as long as the server.
 *
 * Errors: -1. What is wrong with the name is told by `msec_server_start`.
 */
int32_t msec_server_builder_method(struct msec_server_builder *builder,
                                   const char *name,
                                   msec_handler handler,
                                   void *userdata,
                                   const struct msec_method_options *options);

/**
 * Says what the messages of methods look like, so that they can be called with JSON: a serialized
 * `FileDescriptorSet` with everything that its files import. Copied.
 *
 * Errors: -1. What is wrong with the set is told by `msec_server_start`.
 */
int32_t msec_server_builder_descriptors(struct msec_server_builder *builder,
                                        const char *data,
                                        size_t size);

/**
 * Listens at an address: `ip:port`, `ip:port@udp`, `ip:port@tls` or `unix:/path`; port 0 takes a
 * free one.
 *
 * Errors: -1. What is wrong with the address is told by `msec_server_start`.
 */
int32_t msec_server_builder_listen(struct msec_server_builder *builder, const char *address);

/**
 * Serves the built-in pages at this address, and nowhere else.
 *
 * Errors: -1. What is wrong with the address is told by `msec_server_start`.
 */
int32_t msec_server_builder_admin(struct msec_server_builder *builder, const char *address);

/**
 * Starts the server on all cores of `engine`; when this returns 0 it accepts connections. The
 * description is used up, also by a failure. Must not be called on a coroutine. To be given back
 * with `msec_server_free`.
 *
 * Errors: -14 an address that is none; -1 a method that is described wrongly, or a certificate
 * that is none; -2 a socket or a file that cannot be opened, or this is a core's thread.
 */
int32_t msec_server_start(struct msec_server_builder *builder,
                          const struct msec_engine *engine,
                          struct msec_server **server);

/**
 * Where the server listens: the address with this index, counted from 0 in the order of
 * `msec_server_builder_listen`, then those of the pages; with the port that was taken. NULL beyond
 * the last. Lives as long as the server.
 */
const char *msec_server_address(const struct msec_server *server, size_t index);

/**
 * Accepts no more connections and asks peers to leave; connections stay served. Must not be called
 * on a coroutine.
 *
 * Errors: -1; -2 on a core's thread.
 */
int32_t msec_server_drain(const struct msec_server *server);

/**
 * Drains, gives peers `grace_ms` to leave, answers what is in flight, and closes. No call is lost.
 * Again has no effect. Must not be called on a coroutine.
 *
 * Errors: -1; -2 on a core's thread.
 */
int32_t msec_server_stop(const struct msec_server *server, uint32_t grace_ms);

/**
 * Stops a server as `msec_server_stop` does, with a grace of a second, and frees it. NULL is freed
 * without effect. Must not be called on a coroutine: there nothing can be waited for, and the
 * server ends with its engine.
 */
void msec_server_free(struct msec_server *server);

/**
 * How busy a server is: connections that are open, and requests that are not answered yet. Asks
 * all cores; must not be called on a coroutine.
 *
 * Errors: -1; -2 on a core's thread.
 */
int32_t msec_server_load(const struct msec_server *server,
                         size_t *connections_count,
                         size_t *requests_count);

/**
 * Runs a function as a coroutine: on the core of the caller, whose deadline, cancellation, flow id
 * and dye it inherits; from a thread that is no core's, on one of the engine's cores. It starts
 * when its core next looks for work. `task` may be NULL for who does not want to join it; else it
 * is to be given to `msec_task_join` or `msec_task_free`.
 *
 * Errors: -1.
 */
int32_t msec_spawn(const struct msec_engine *engine,
                   msec_task_function function,
                   void *argument,
                   struct msec_task **task);

/**
 * Waits until a task has ended: suspends the coroutine, or blocks the thread. `returned`, if not
 * NULL, becomes what the function returned. The handle is used up by success; after a failure it
 * may be joined again. `timeout_ms` 0 waits as long as it takes.
 *
 * Errors: -10 it goes on; -103 the caller was cancelled; -101 it never ran: no stack was left.
 */
int32_t msec_task_join(struct msec_task *task, uint32_t timeout_ms, int32_t *returned);

/**
 * As `msec_task_join` without a limit, but waits on when the caller is cancelled: for who must not
 * go before the task, which uses what is on his stack. A task that he spawned on a coroutine is
 * cancelled with him, and ends by that.
 *
 * Errors: -101 it never ran: no stack was left; -2 it goes on, and this is a core's loop.
 */
int32_t msec_task_join_uncancelled(struct msec_task *task, int32_t *returned);

/**
 * Lets a task go on by itself. NULL is freed without effect.
 */
void msec_task_free(struct msec_task *task);

/**
 * Suspends the coroutine for `ms` milliseconds, or blocks the thread if it is not a core's.
 *
 * Errors: -103 the caller was cancelled; -2 on a core's loop, where nothing can wait.
 */
int32_t msec_sleep(uint32_t ms);

/**
 * Lets the other coroutines of the core run that are ready.
 *
 * Errors: -103 the caller was cancelled; -2 on a core's loop, where nothing can wait.
 */
int32_t msec_yield(void);

/**
 * Whether the calling code runs on a coroutine, where it may suspend.
 */
bool msec_on_coroutine(void);

/**
 * The text, with a NUL at its end; "" for NULL. Valid until the text is freed.
 */
const char *msec_text_data(const struct msec_text *text);

/**
 * Frees a text. NULL is freed without effect.
 */
void msec_text_free(struct msec_text *text);

/**
 * Secures the addresses with `@tls`, for SRPC, HTTP and pages alike. Files are read at the start,
 * and again within two seconds after one has changed.
 *
 * Errors: -1. What is wrong with a file is told by `msec_server_start`.
 */
int32_t msec_server_builder_tls(struct msec_server_builder *builder,
                                const struct msec_server_tls_options *options);

/**
 * Reads all files of certificates and keys again, now, without waiting for the engine to see that
 * they have changed. Reads them on the calling thread: on a coroutine, use msec_offload.
 *
 * Errors: -1 or -2 with the name of the file: what was read from it before stays in force.
 */
int32_t msec_engine_reload_tls(const struct msec_engine *engine);

/**
 * The `MSEC_ABI_VERSION` of the library that is loaded, which may be higher than the header's.
 */
uint32_t msec_abi_version(void);

/**
 * The version of the library that is loaded, such as "0.1.0". Lives as long as the process.
 */
const char *msec_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#if defined(__cplusplus) && defined(__cpp_exceptions)
#include <cstring>
#include <exception>

/**
 * The barrier of a plugin in C++ (`msec_plugin`): an exception that leaves a handler is caught
 * here, by the plugin's own runtime of C++. The caller gets MSEC_ESERVICE_FAILED with what(), and
 * the log a record.
 */
static inline int32_t msec_plugin_catch(msec_handler handler, void *userdata,
                                        msec_context *context) {
    const char text[] = "a handler threw an exception";
    msec_field field = {"what", "an exception that is no std::exception"};
    const auto told = [&] {
        msec_context_fail_text(context, field.value, std::strlen(field.value));
        msec_log(MSEC_LOG_ERROR, "msec.h", text, sizeof text - 1, &field, 1);
    };
    try {
        return handler(userdata, context);
    } catch (const std::exception &thrown) {
        field.value = thrown.what();
        told();
    } catch (...) {
        told();
    }
    return MSEC_ESERVICE_FAILED;
}
#define MSEC_BARRIER msec_plugin_catch
#else
#define MSEC_BARRIER NULL
#endif

/** Nothing set. */
#define MSEC_CALL_OPTIONS_INIT { sizeof(msec_call_options), 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, 0 }
/** Nothing set. */
#define MSEC_ENGINE_OPTIONS_INIT \
    { sizeof(msec_engine_options), MSEC_ABI_VERSION, 0, 0, NULL, NULL, NULL, NULL, 0 }
/** Nothing set. */
#define MSEC_PLUGIN_INIT \
    { sizeof(msec_plugin), MSEC_ABI_VERSION, MSEC_ABI_VERSION, NULL, NULL, 0, 0, 0, MSEC_BARRIER }
/** Nothing set. */
#define MSEC_METHOD_OPTIONS_INIT { sizeof(msec_method_options), 0, 0, 0 }
/** Nothing set. */
#define MSEC_SERVER_TLS_OPTIONS_INIT { sizeof(msec_server_tls_options), 0, NULL, 0, NULL }
/** Nothing set. */
#define MSEC_CLIENT_TLS_OPTIONS_INIT { sizeof(msec_client_tls_options), 0, NULL, NULL, NULL }

#endif  /* MSEC_H */
