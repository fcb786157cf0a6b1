package org.msec;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;

/** What a server and its engine share of it. It does not refer to the {@link Server}. */
final class ServerCore {
    final Core core;
    /** Of the native server. */
    final long handle;
    private final List<Methods.Method> methods;
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final CountDownLatch stopped = new CountDownLatch(1);

    ServerCore(Core core, long handle, List<Methods.Method> methods) {
        this.core = core;
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
