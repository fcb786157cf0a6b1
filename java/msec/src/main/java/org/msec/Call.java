package org.msec;

import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * A call under way. Cancelled, it is given up: the callee is told, and nothing is heard of it.
 *
 * @param <R> what becomes of the answer
 */
final class Call<R> extends CompletableFuture<R> {
    private final Core core;
    private final long number;
    private final Function<Reply, R> parse;
    /** What the native library cancels it by; 0 until it is begun. */
    private volatile long begun;

    Call(Core core, Function<Reply, R> parse) {
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

    /** Waits for it; the thread parks, and a virtual one lets its carrier go. */
    R await(String method) {
        if (core.isPoller() && !isDone()) {
            cancel(true);
            throw new MsecException(
                    Status.SYSTEM_ERROR,
                    method + " would block the poller: call it in a handler without @NonBlocking");
        }
        try {
            return get();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            cancel(true);
            throw new MsecException(
                    Status.CANCELLED, "the thread that waited for " + method + " was interrupted");
        } catch (java.util.concurrent.ExecutionException failed) {
            Throwable cause = failed.getCause();
            if (cause instanceof MsecException error) {
                // Thrown anew, so that the trace has the thread that waits.
                throw new MsecException(error.status(), error.getMessage(), error);
            }
            throw new MsecException(Status.SYSTEM_ERROR, String.valueOf(cause), cause);
        }
    }
}
