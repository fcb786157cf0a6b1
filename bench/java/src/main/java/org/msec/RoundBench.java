package org.msec;

import com.google.protobuf.ByteString;
import echo.Echo.EchoRequest;
import echo.Echo.EchoResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What Java does with a round of the poller, a request: reading records, decoding, a handler on the
 * poller, the answer into the buffer. The native library has no part in it.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class RoundBench {
    private static final int REQUESTS = 64;

    /** Bytes in the message. */
    @Param("64")
    public int payload;

    private Poller poller;
    private final Poller.Record record = new Poller.Record();
    private int end;

    /** A poller that nobody runs, with a batch in its buffer. */
    @Setup
    public void prepare() {
        Core core = new Core(0, Workers.pool(1, 1));
        Methods methods = new Methods();
        methods.add("echo.EchoService.Echo", EchoRequest.parser(), RoundBench::echo).nonBlocking();
        List<Methods.Method> list = methods.list;
        core.add(list);
        poller = new Poller(core, new CountDownLatch(1));
        byte[] caller = "Demo.web".getBytes(StandardCharsets.UTF_8);
        ByteString message = ByteString.copyFrom(new byte[payload]);
        byte[] body = EchoRequest.newBuilder().setMessage(message).build().toByteArray();
        for (int request = 0; request < REQUESTS; request++) {
            put(request, caller, body);
        }
    }

    private static EchoResponse echo(Context context, EchoRequest request) {
        return EchoResponse.newBuilder().setMessage(request.getMessage()).build();
    }

    private void put(int request, byte[] caller, byte[] body) {
        int size = (Layout.RECORD_BYTES + caller.length + body.length + 7) & ~7;
        poller.records.putInt(end + Layout.RECORD_SIZE_AT, size);
        poller.records.putInt(end + Layout.RECORD_KIND_AT, Layout.KIND_REQUEST);
        poller.records.putLong(end + Layout.RECORD_ID_AT, 1L << 32 | request);
        poller.records.putInt(end + Layout.RECORD_PRIORITY_AT, 2);
        poller.records.putInt(end + Layout.RECORD_CALLER_BYTES_AT, caller.length);
        poller.records.putInt(end + Layout.RECORD_BODY_BYTES_AT, body.length);
        poller.records.put(end + Layout.RECORD_BYTES, caller);
        poller.records.put(end + Layout.RECORD_BYTES + caller.length, body);
        end += size;
    }

    /** Reads the heads of the records. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public long heads() {
        long sum = 0;
        for (int at = 0; at < end; ) {
            at = record.read(poller.records, at);
            sum += record.id;
        }
        return sum;
    }

    /** All of it. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public int whole() {
        poller.answers.clear();
        poller.round(end);
        return poller.answers.position();
    }
}
