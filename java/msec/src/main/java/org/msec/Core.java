package org.msec;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * What an engine's handle, its poller, its servers and its clients share. It refers to none of the
 * handles, so that an engine that nobody has any more can be closed by the collector.
 */
final class Core {
    /** Of the native engine. */
    final long handle;
    final Workers workers;
    /** Calls under way, by the number that their results come with. */
    final ConcurrentHashMap<Long, Call<?>> calls = new ConcurrentHashMap<>();

    /** Handles of servers that run. */
    final Set<Long> servers = ConcurrentHashMap.newKeySet();

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
        boolean interrupted = false;
        while (attached.getCount() > 0) {
            try {
                attached.await();
            } catch (InterruptedException error) {
                // It takes microseconds.
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

    /** Closes everything, once: servers answer what they have, calls under way fail. */
    void close() {
        if (!closing.compareAndSet(false, true)) {
            return;
        }
        for (Long server : servers) {
            Native.serverStop(server, Server.CLOSE_GRACE_MS);
        }
        closed = true;
        Native.engineClose(handle);
        workers.close();
        String text = "the engine was closed while the call was under way";
        calls.values().forEach(call -> call.fail(new MsecException(Status.CANCELLED, text)));
        calls.clear();
    }
}
