package org.msec;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * What an engine's handle, its poller, its servers and its clients share. It refers to the engine
 * only by what is under way, servers and calls, so that an engine that nobody has any more can be
 * closed by the collector.
 */
final class Core {
    /** Of the native engine. */
    final long handle;
    final Workers workers;
    /** Calls under way, by the number that their results come with. */
    final ConcurrentHashMap<Long, Call<?>> calls = new ConcurrentHashMap<>();

    /** Those that run. */
    final Set<ServerCore> servers = ConcurrentHashMap.newKeySet();

    /** Handles of clients that are open: each keeps the native engine. */
    private final Set<Long> clients = ConcurrentHashMap.newKeySet();

    /** By number; grows by every server that is started. */
    private volatile Methods.Method[] methods = {};

    private final AtomicLong nextCall = new AtomicLong(1);
    private final AtomicBoolean closing = new AtomicBoolean();
    private volatile boolean closed;
    private final AtomicReference<Thread> poller = new AtomicReference<>();

    Core(long handle, Workers workers) {
        this.handle = handle;
        this.workers = workers;
    }

    /** When this returns, the engine may be closed. */
    void startPoller(String name) {
        CountDownLatch attached = new CountDownLatch(1);
        Thread thread = new Thread(new Poller(this, attached), name);
        thread.setDaemon(true);
        poller.set(thread);
        thread.start();
        await(attached);
    }

    /** Waits for what takes a bounded time, and heeds an interrupt later. */
    static void await(CountDownLatch latch) {
        boolean interrupted = false;
        while (latch.getCount() > 0) {
            try {
                latch.await();
            } catch (InterruptedException error) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    boolean isPoller() {
        return Thread.currentThread() == poller.get();
    }

    boolean isClosed() {
        return closed;
    }

    void requireOpen() {
        if (isClosed()) {
            throw new MsecException(Status.SYSTEM_ERROR, "the engine is closed");
        }
    }

    long nextCall() {
        return nextCall.getAndIncrement();
    }

    /** Numbers methods, so that requests find them. */
    synchronized void add(Iterable<Methods.Method> added) {
        Methods.Method[] known = methods;
        int count = known.length;
        for (Methods.Method method : added) {
            method.number = count++;
        }
        Methods.Method[] grown = java.util.Arrays.copyOf(known, count);
        added.forEach(method -> grown[method.number] = method);
        methods = grown;
    }

    /** Forgets methods whose server has ended. */
    synchronized void remove(Iterable<Methods.Method> removed) {
        Methods.Method[] left = methods.clone();
        removed.forEach(method -> left[method.number] = null);
        methods = left;
    }

    /** Null if its server has ended. */
    Methods.Method method(int number) {
        Methods.Method[] known = methods;
        return number < known.length ? known[number] : null;
    }

    /** A server that is started; it may be while everything is closed. */
    void add(ServerCore server) {
        servers.add(server);
        // Either it was there for who closes, or this sees that it was not.
        if (closing.get()) {
            throw new MsecException(Status.SYSTEM_ERROR, "the engine is closed");
        }
    }

    /** As with servers, but handlers may open some as long as servers are drained. */
    void addClient(long client) {
        clients.add(client);
        if (closed) {
            closeClient(client);
            requireOpen();
        }
    }

    int clients() {
        return clients.size();
    }

    void closeClient(long client) {
        clients.remove(client);
        Native.clientClose(client);
    }

    /** Closes everything, once: servers answer what they have, calls under way fail. */
    void close() {
        if (!closing.compareAndSet(false, true)) {
            return;
        }
        for (ServerCore server : servers) {
            try {
                server.stop(Server.CLOSE_GRACE_MS);
            } catch (MsecException error) {
                // The others are to be stopped as well.
            }
        }
        closed = true;
        clients.forEach(this::closeClient);
        Native.engineClose(handle);
        workers.close();
        failCalls("the engine was closed while the call was under way");
    }

    /** The poller cannot go on: without it no call ends, and no request is served. */
    void failed() {
        // Nothing begins any more.
        closed = true;
        failCalls("the poller of the engine has failed");
        // Closing waits for servers, and they for the poller's answers.
        Thread thread = new Thread(this::close, "msec-close");
        thread.setDaemon(true);
        thread.start();
    }

    private void failCalls(String text) {
        calls.values().forEach(call -> call.fail(new MsecException(Status.CANCELLED, text)));
        calls.clear();
    }
}
