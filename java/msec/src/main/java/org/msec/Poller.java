package org.msec;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.function.Supplier;

/**
 * The thread that pulls: it fetches records in batches, runs what is {@link NonBlocking}, gives the
 * rest to the workers, and completes calls. Its own answers go out with its next round.
 *
 * <p>Both buffers are touched by this thread only, here and in the native library while it is in
 * there; so nothing is shared, and what is read from them is read once and copied.
 */
final class Poller implements Runnable {
    /** As long as nothing comes the thread sleeps so long, and looks again. */
    private static final long PATIENCE_NS = 1_000_000_000;

    /** Rounds that fail one after the other, until it is given up. */
    private static final int FAILURES_MAX = 10;

    private static final byte[] NO_MEMORY_TEXT = bytes("the heap of the callee is exhausted");
    private static final byte[] UNSERVED_TEXT = bytes("the callee could not begin to serve it");

    private final Core core;
    final ByteBuffer records = buffer();
    final ByteBuffer answers = buffer();
    private final byte[] scratch = new byte[Layout.INLINE_BYTES_MAX];
    private final Record record = new Record();

    /** The caller that was seen last, for most requests come from one. */
    private byte[] lastCaller = {};

    private String lastCallerText = "";

    private final CountDownLatch attached;

    Poller(Core core, CountDownLatch attached) {
        this.core = core;
        this.attached = attached;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static ByteBuffer buffer() {
        return ByteBuffer.allocateDirect(Layout.BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The head of a record, read once. */
    static final class Record {
        int kind;
        long id;
        long kept;
        long deadlineNs;
        long flowId;
        int method;
        int flags;
        int code;
        int result;
        int attempt;
        int priority;
        int callerBytes;
        int metadataBytes;
        int bodyBytes;
        /** Where its texts begin. */
        int textsAt;

        /** Reads it; where the next one is. */
        int read(ByteBuffer from, int at) {
            kind = from.getInt(at + Layout.RECORD_KIND_AT);
            id = from.getLong(at + Layout.RECORD_ID_AT);
            kept = from.getLong(at + Layout.RECORD_KEPT_AT);
            deadlineNs = from.getLong(at + Layout.RECORD_DEADLINE_NS_AT);
            flowId = from.getLong(at + Layout.RECORD_FLOW_ID_AT);
            method = from.getInt(at + Layout.RECORD_METHOD_AT);
            flags = from.getInt(at + Layout.RECORD_FLAGS_AT);
            code = from.getInt(at + Layout.RECORD_CODE_AT);
            result = from.getInt(at + Layout.RECORD_RESULT_AT);
            attempt = from.getInt(at + Layout.RECORD_ATTEMPT_AT);
            priority = from.getInt(at + Layout.RECORD_PRIORITY_AT);
            callerBytes = from.getInt(at + Layout.RECORD_CALLER_BYTES_AT);
            metadataBytes = from.getInt(at + Layout.RECORD_METADATA_BYTES_AT);
            bodyBytes = from.getInt(at + Layout.RECORD_BODY_BYTES_AT);
            textsAt = at + Layout.RECORD_BYTES;
            return at + from.getInt(at + Layout.RECORD_SIZE_AT);
        }
    }

    @Override
    public void run() {
        try {
            Native.attach(core.handle, records, answers);
        } catch (Throwable error) {
            log(error);
            core.failed();
            return;
        } finally {
            attached.countDown();
        }
        for (int failures = 0; failures < FAILURES_MAX; ) {
            try {
                int ready = answers.position();
                answers.clear();
                int end = Native.poll(core.handle, ready, PATIENCE_NS);
                if (end < 0) {
                    return;
                }
                round(end);
                failures = 0;
            } catch (Throwable error) {
                failures++;
                log(error);
            }
        }
        core.failed();
    }

    /** Takes the records that end there. */
    void round(int end) {
        for (int at = 0; at < end; ) {
            at = record.read(records, at);
            try {
                take();
            } catch (Throwable error) {
                failed(error);
            }
            // Whom a handler has interrupted is not the next one.
            Thread.interrupted();
        }
    }

    /** Whatever it is, the others are to be served, and this one answered. */
    private void failed(Throwable error) {
        log(error);
        if (record.kind != Layout.KIND_REQUEST) {
            return;
        }
        try {
            // A second answer finds no request.
            if (error instanceof OutOfMemoryError) {
                answer(record.id, Status.NO_MEMORY, NO_MEMORY_TEXT);
            } else {
                answer(record.id, Status.SERVICE_FAILED, UNSERVED_TEXT);
            }
        } catch (Throwable worse) {
            // The engine is closed, and has answered by itself.
            log(worse);
        }
    }

    private void log(Throwable error) {
        if (core.isClosed()) {
            return;
        }
        try {
            Log.write(Log.Level.ERROR, "msec.Poller", Log.named(error));
        } catch (Throwable worse) {
            // Nobody is there to be told.
        }
    }

    private void take() {
        if (record.kind == Layout.KIND_REQUEST) {
            request();
        } else {
            result();
        }
    }

    private void result() {
        Call<?> call = core.calls.remove(record.id);
        if (call == null) {
            if (record.kept != 0) {
                Native.release(core.handle, record.kept);
            }
            return;
        }
        try {
            complete(call);
        } catch (Throwable error) {
            // Nobody else knows of it any more.
            call.completeExceptionally(error);
        }
    }

    private void complete(Call<?> call) {
        byte[] body;
        if (record.kept != 0) {
            body = Native.body(core.handle, false, record.kept);
        } else {
            body = new byte[record.bodyBytes];
            records.get(record.textsAt, body);
        }
        if (record.code == 0) {
            call.succeed(new Reply(body, record.result));
        } else {
            String text = new String(body, StandardCharsets.UTF_8);
            call.fail(new MsecException(record.code, text));
        }
    }

    private void request() {
        Methods.Method method = core.method(record.method);
        if (method == null) {
            answer(record.id, Status.DRAINING, "the server has ended");
            return;
        }
        Context context = new Context(core, method, caller(), metadata(), record);
        if (record.kept != 0 && !method.nonBlocking) {
            // A long body is fetched and parsed by the thread that needs it.
            long kept = record.kept;
            Supplier<byte[]> fetch = () -> Native.body(core.handle, true, kept);
            dispatch(context, method, fetch);
            return;
        }
        Object message;
        try {
            message = message(method);
        } catch (InvalidProtocolBufferException error) {
            answer(record.id, Status.INVALID_BODY, Serving.notTheMessage(error));
            return;
        }
        if (method.nonBlocking) {
            serveHere(context, method, message);
        } else {
            dispatch(context, method, message);
        }
    }

    private void dispatch(Context context, Methods.Method method, Object request) {
        if (!core.workers.run(new Serving(context, method, request))) {
            answer(context.id, Status.OVERLOADED, "too many requests wait for a handler's thread");
        }
    }

    private String caller() {
        int length = record.callerBytes;
        boolean same = length == lastCaller.length;
        for (int index = 0; same && index < length; index++) {
            same = records.get(record.textsAt + index) == lastCaller[index];
        }
        if (!same) {
            lastCaller = new byte[length];
            records.get(record.textsAt, lastCaller);
            lastCallerText = new String(lastCaller, StandardCharsets.UTF_8);
        }
        return lastCallerText;
    }

    private static final byte[] NOTHING = {};

    /** Null where they are kept natively. */
    private byte[] metadata() {
        if ((record.flags & Layout.FLAG_METADATA_KEPT) != 0) {
            return null;
        }
        if (record.metadataBytes == 0) {
            return NOTHING;
        }
        byte[] metadata = new byte[record.metadataBytes];
        records.get(record.textsAt + record.callerBytes, metadata);
        return metadata;
    }

    private Object message(Methods.Method method) throws InvalidProtocolBufferException {
        if (record.kept != 0) {
            byte[] body = Native.body(core.handle, true, record.kept);
            return method.parser == null ? body : method.parser.parseFrom(body);
        }
        int length = record.bodyBytes;
        records.get(record.textsAt + record.callerBytes + record.metadataBytes, scratch, 0, length);
        if (method.parser == null) {
            return Arrays.copyOf(scratch, length);
        }
        return method.parser.parseFrom(scratch, 0, length);
    }

    private void serveHere(Context context, Methods.Method method, Object request) {
        Object answer;
        Context before = null;
        try {
            before = Context.enter(context);
            answer = Serving.checked(method, method.handler.handle(context, request));
        } catch (Throwable error) {
            Serving.Failure failure = Serving.failure(method, error);
            answer(context.id, failure.status(), failure.text());
            return;
        } finally {
            Context.leave(before);
        }
        try {
            answer(context, answer);
        } catch (IOException | RuntimeException error) {
            String text = "the answer cannot be serialized: " + Log.named(error);
            answer(context.id, Status.SERVICE_FAILED, text);
        }
    }

    private void answer(Context context, Object answer) throws IOException {
        if (answer instanceof MessageLite message) {
            int length = message.getSerializedSize();
            if (length <= scratch.length) {
                CodedOutputStream out = CodedOutputStream.newInstance(scratch, 0, length);
                message.writeTo(out);
                put(context.id, Status.OK.code(), context.result(), scratch, length);
                return;
            }
            answer = message.toByteArray();
        }
        byte[] bytes = (byte[]) answer;
        if (bytes.length <= scratch.length) {
            put(context.id, Status.OK.code(), context.result(), bytes, bytes.length);
        } else {
            Native.answer(core.handle, context.id, Status.OK.code(), context.result(), bytes);
        }
    }

    private void answer(long request, Status status, String text) {
        answer(request, status, bytes(text));
    }

    private void answer(long request, Status status, byte[] text) {
        put(request, status.code(), 0, text, Math.min(text.length, scratch.length));
    }

    /** Puts an answer into the buffer, which is handed over when it is full. */
    private void put(long request, int code, int result, byte[] body, int length) {
        int size = (Layout.ANSWERED_BYTES + length + 7) & ~7;
        if (answers.remaining() < size) {
            Native.submit(core.handle, answers.position());
            answers.clear();
        }
        int at = answers.position();
        answers.putInt(at + Layout.ANSWERED_SIZE_AT, size);
        answers.putInt(at + Layout.ANSWERED_CODE_AT, code);
        answers.putLong(at + Layout.ANSWERED_ID_AT, request);
        answers.putInt(at + Layout.ANSWERED_RESULT_AT, result);
        answers.putInt(at + Layout.ANSWERED_BODY_BYTES_AT, length);
        answers.put(at + Layout.ANSWERED_BYTES, body, 0, length);
        answers.position(at + size);
    }
}
