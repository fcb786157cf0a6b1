package org.msec;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Where blocking handlers run. */
interface Workers {
    /**
     * Runs a handler soon; false if there is no room for it.
     */
    boolean run(Runnable handler);

    /** Takes no more; what runs is let run. */
    void close();

    /** A number of threads, with a queue before them. */
    static Workers pool(int threads, int waiting) {
        AtomicInteger next = new AtomicInteger();
        ThreadFactory factory =
                handler -> {
                    Thread thread = new Thread(handler, "msec-handler-" + next.getAndIncrement());
                    thread.setDaemon(true);
                    return thread;
                };
        ThreadPoolExecutor pool =
                new ThreadPoolExecutor(
                        threads, threads, 10, TimeUnit.SECONDS,
                        new LinkedBlockingQueue<>(waiting), factory);
        pool.allowCoreThreadTimeOut(true);
        return new Workers() {
            @Override
            public boolean run(Runnable handler) {
                try {
                    pool.execute(handler);
                    return true;
                } catch (RejectedExecutionException full) {
                    return false;
                }
            }

            @Override
            public void close() {
                pool.shutdown();
            }
        };
    }

    /**
     * A virtual thread a request, of which the engine bounds the number; null where the JVM has
     * none. This is compiled for 17, so what 21 has is found by name.
     */
    static Workers virtual() {
        ThreadFactory factory;
        try {
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            Class<?> builder = Class.forName("java.lang.Thread$Builder");
            Class<?> ofVirtual = Class.forName("java.lang.Thread$Builder$OfVirtual");
            MethodType makes = MethodType.methodType(ofVirtual);
            MethodHandle make = lookup.findStatic(Thread.class, "ofVirtual", makes);
            MethodType names = MethodType.methodType(ofVirtual, String.class, long.class);
            MethodHandle name = lookup.findVirtual(ofVirtual, "name", names);
            MethodType gives = MethodType.methodType(ThreadFactory.class);
            MethodHandle give = lookup.findVirtual(builder, "factory", gives);
            factory = (ThreadFactory) give.invoke(name.invoke(make.invoke(), "msec-handler-", 0L));
        } catch (Throwable older) {
            return null;
        }
        return new Workers() {
            private volatile boolean closed;

            @Override
            public boolean run(Runnable handler) {
                if (closed) {
                    return false;
                }
                factory.newThread(handler).start();
                return true;
            }

            @Override
            public void close() {
                closed = true;
            }
        };
    }
}
