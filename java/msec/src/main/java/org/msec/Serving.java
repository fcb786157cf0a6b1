package org.msec;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;

/** One request on a thread where its handler may block. */
final class Serving implements Runnable {
    private static final Failure NO_MEMORY =
            new Failure(Status.NO_MEMORY, bytes("the heap of the callee is exhausted"));
    private static final Failure UNTOLD =
            new Failure(Status.SERVICE_FAILED, bytes("the handler threw what cannot be told"));

    private final Context context;
    private final Methods.Method method;
    /** The request, or who fetches its body. */
    private Object request;

    Serving(Context context, Methods.Method method, Object request) {
        this.context = context;
        this.method = method;
        this.request = request;
    }

    @Override
    public void run() {
        Context before = null;
        int code = Status.OK.code();
        byte[] body;
        try {
            before = Context.enter(context);
            requireWanted();
            Object answer = checked(method, method.handler.handle(context, request()));
            body = answer instanceof MessageLite message
                    ? message.toByteArray()
                    : (byte[]) answer;
        } catch (Throwable error) {
            Failure failure = failure(method, error);
            code = failure.status().code();
            body = failure.text();
        } finally {
            Context.leave(before);
        }
        try {
            Native.answer(context.core.handle, context.id, code, context.result(), body);
        } catch (MsecException closed) {
            // The engine is gone, and has answered by itself.
        }
    }

    /** It may have waited for this thread until nobody waited for its answer any more. */
    private void requireWanted() {
        if (!context.isCancelled()) {
            return;
        }
        long end = context.deadlineNs();
        if (end != 0 && System.nanoTime() - end >= 0) {
            throw new MsecException(
                    Status.DEADLINE_EXCEEDED, "the deadline passed before it started");
        }
        throw new MsecException(Status.CANCELLED, "cancelled before it started");
    }

    @SuppressWarnings("unchecked")
    private Object request() throws InvalidProtocolBufferException {
        Object given = request;
        // What it was parsed from need not live as long as the handler.
        request = null;
        if (!(given instanceof Supplier)) {
            return given;
        }
        byte[] body = ((Supplier<byte[]>) given).get();
        if (method.parser == null) {
            return body;
        }
        try {
            return method.parser.parseFrom(body);
        } catch (InvalidProtocolBufferException error) {
            throw new MsecException(Status.INVALID_BODY, notTheMessage(error), error);
        }
    }

    static String notTheMessage(InvalidProtocolBufferException error) {
        return "request body is not the message: " + error.getMessage();
    }

    /** What a handler returned, if it can be sent. */
    static Object checked(Methods.Method method, Object answer) {
        if (answer instanceof MessageLite || answer instanceof byte[]) {
            return answer;
        }
        String what = answer == null ? "null" : "a " + answer.getClass().getName();
        throw new IllegalStateException(
                "the handler of " + method.name + " returned " + what + ", which is no answer");
    }

    /** What the caller is told, in UTF-8. */
    record Failure(Status status, byte[] text) {}

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /**
     * What a handler's failure is answered with; what the business did not mean is logged. Throws
     * nothing, whatever the error does when it is asked what it is, and if there is no memory.
     */
    static Failure failure(Methods.Method method, Throwable error) {
        if (error instanceof InterruptedException) {
            Thread.currentThread().interrupt();
        }
        if (!(error instanceof MsecException)) {
            log(method, error);
        }
        if (error instanceof OutOfMemoryError) {
            return NO_MEMORY;
        }
        try {
            if (error instanceof MsecException expected) {
                String text = expected.getMessage() == null ? "" : expected.getMessage();
                Status status = expected.status();
                return new Failure(
                        status == Status.OK ? Status.SERVICE_FAILED : status, bytes(text));
            }
            return new Failure(
                    Status.SERVICE_FAILED, bytes("the handler threw " + Log.named(error)));
        } catch (Throwable worse) {
            return UNTOLD;
        }
    }

    private static void log(Methods.Method method, Throwable error) {
        try {
            String text =
                    error instanceof OutOfMemoryError
                            // There may be no memory for more words than these.
                            ? "no memory for a handler of " + method.name
                            : "method " + method.name + " threw " + Log.trace(error);
            Log.write(Log.Level.ERROR, "msec.Handler", text);
        } catch (Throwable worse) {
            // That the caller gets its answer is more important.
        }
    }
}
