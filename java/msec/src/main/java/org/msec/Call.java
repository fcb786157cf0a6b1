package org.msec;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/**
 * A call under way. Cancelled, it is given up: the callee is told, and nothing is heard of it.
 *
 * @param <R> what becomes of the answer
 */
final class Call<R> extends CompletableFuture<R> {
    private final Core core;
    /** Kept: an engine that was collected now would end the call. */
    private final Engine engine;
    private final long number;
    private final Function<Reply, R> parse;
    /** What the native library cancels it by; 0 until it is begun. */
    private volatile long begun;

    Call(Engine engine, Function<Reply, R> parse) {
        this(engine, engine.core(), parse);
    }

    /** Of a core that may have no engine. */
    Call(Engine engine, Core core, Function<Reply, R> parse) {
        this.engine = engine;
        this.core = core;
        this.parse = parse;
        this.number = core.nextCall();
    }

    /** Begins it. */
    interface Begin {
        long with(long number, long request);
    }

    /** Starts it by a downcall. */
    Call<R> start(Begin begin) {
        core.requireOpen();
        core.calls.put(number, this);
        try {
            Context context = Context.current();
            begun = begin.with(number, context == null ? 0 : context.id);
        } catch (MsecException error) {
            core.calls.remove(number);
            completeExceptionally(error);
            return this;
        } catch (Throwable error) {
            core.calls.remove(number);
            throw error;
        }
        if (isDone()) {
            // Cancelled before there was anything to cancel, or closed.
            core.calls.remove(number);
            giveUp(begun);
        } else if (core.isClosed()) {
            core.calls.remove(number);
            fail(new MsecException(Status.CANCELLED, "the engine was closed"));
        }
        return this;
    }

    /** Its answer has come. */
    void succeed(Reply reply) {
        R parsed;
        try {
            parsed = parse.apply(reply);
        } catch (Throwable error) {
            completeExceptionally(error);
            return;
        }
        complete(parsed);
    }

    void fail(MsecException error) {
        completeExceptionally(error);
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        boolean cancelled = super.cancel(mayInterruptIfRunning);
        if (cancelled) {
            core.calls.remove(number);
            long place = begun;
            if (place != 0) {
                giveUp(place);
            }
        }
        return cancelled;
    }

    private void giveUp(long place) {
        try {
            Native.cancel(core.handle, place);
        } catch (MsecException closed) {
            // The engine is gone, and the call with it.
        }
    }

    /** The poller is who ends calls: it would wait for itself, and everybody for it. */
    private void requireOtherThread(String what) {
        if (core.isPoller() && !isDone()) {
            cancel(true);
            throw new MsecException(
                    Status.SYSTEM_ERROR,
                    what + " would block the poller: call it in a handler without @NonBlocking, or"
                            + " in an ...Async method of the future");
        }
    }

    @Override
    public R get() throws InterruptedException, ExecutionException {
        requireOtherThread("get()");
        return super.get();
    }

    @Override
    public R get(long patience, TimeUnit unit)
            throws InterruptedException, ExecutionException, TimeoutException {
        requireOtherThread("get()");
        return super.get(patience, unit);
    }

    @Override
    public R join() {
        requireOtherThread("join()");
        return super.join();
    }

    /** Waits for it; the thread parks, and a virtual one lets its carrier go. */
    R await(String method) {
        requireOtherThread(method);
        try {
            return get();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            cancel(true);
            throw new MsecException(
                    Status.CANCELLED, "the thread that waited for " + method + " was interrupted");
        } catch (ExecutionException failed) {
            Throwable cause = failed.getCause();
            if (cause instanceof MsecException error) {
                // Thrown anew, so that the trace has the thread that waits.
                throw new MsecException(error.status(), error.getMessage(), error);
            }
            throw new MsecException(Status.SYSTEM_ERROR, String.valueOf(cause), cause);
        }
    }
}
