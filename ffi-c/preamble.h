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
