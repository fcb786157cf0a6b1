package org.msec;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * What a server and its engine share of it. As long as it runs it keeps the engine: peers have it,
 * though nobody in this process may.
 */
final class ServerCore {
    final Engine engine;
    private final Core core;
    /** Of the native server. */
    final long handle;
    private final List<Methods.Method> methods;
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final CountDownLatch stopped = new CountDownLatch(1);

    ServerCore(Engine engine, long handle, List<Methods.Method> methods) {
        this.engine = engine;
        this.core = engine.core();
        this.handle = handle;
        this.methods = methods;
    }

    /** Stops it, once. Whoever comes while another thread does waits for that. */
    void stop(long graceMs) {
        stop(() -> Native.serverStop(handle, (int) Math.min(graceMs, Integer.MAX_VALUE)));
    }

    /** Serves until the host wants the worker to end, and stops as it wants. */
    void serveHost() {
        Native.hostWait();
        stop(Native::hostLeave);
    }

    private void stop(Runnable how) {
        if (!stopping.compareAndSet(false, true)) {
            Core.await(stopped);
            return;
        }
        try {
            how.run();
        } finally {
            core.servers.remove(this);
            core.remove(methods);
            stopped.countDown();
        }
    }

    void awaitStop() throws InterruptedException {
        stopped.await();
    }
}
