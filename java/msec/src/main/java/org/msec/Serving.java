package org.msec;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;

/** One request on a thread where its handler may block. */
final class Serving implements Runnable {
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
        Context before = Context.enter(context);
        int code = Status.OK.code();
        byte[] body;
        try {
            Object answer = checked(method, method.handler.handle(context, request()));
            body = answer instanceof MessageLite message
                    ? message.toByteArray()
                    : (byte[]) answer;
        } catch (Throwable error) {
            Failure failure = failure(method, error);
            code = failure.status().code();
            body = failure.text().getBytes(StandardCharsets.UTF_8);
        } finally {
            Context.leave(before);
        }
        try {
            Native.answer(context.core.handle, context.id, code, context.result(), body);
        } catch (MsecException closed) {
            // The engine is gone, and has answered by itself.
        }
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

    /** What the caller is told. */
    record Failure(Status status, String text) {}

    /** What a handler's failure is answered with; what the business did not mean is logged. */
    static Failure failure(Methods.Method method, Throwable error) {
        if (error instanceof MsecException expected) {
            String text = expected.getMessage() == null ? "" : expected.getMessage();
            Status status = expected.status();
            return new Failure(status == Status.OK ? Status.SERVICE_FAILED : status, text);
        }
        if (error instanceof OutOfMemoryError) {
            // There may be no memory for more words than these.
            Log.write(Log.Level.ERROR, "msec.Handler", "no memory for a handler of " + method.name);
            return new Failure(Status.NO_MEMORY, "the heap of the callee is exhausted");
        }
        if (error instanceof InterruptedException) {
            Thread.currentThread().interrupt();
        }
        String text = "method " + method.name + " threw " + Log.trace(error);
        Log.write(Log.Level.ERROR, "msec.Handler", text);
        return new Failure(Status.SERVICE_FAILED, "the handler threw " + error);
    }
}
