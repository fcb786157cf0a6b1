package org.msec.bench;

import echo.Echo.EchoRequest;
import echo.Echo.EchoResponse;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.management.AttributeNotFoundException;
import javax.management.ObjectName;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordingFile;

/**
 * What the runner asks a server on its standard input, a word a line; each is answered by a line
 * with the word and a number.
 *
 * <pre>
 *   allocated   bytes that all threads have allocated so far
 *   protobuf    bytes that protobuf allocates for a request of 64 bytes and its answer
 *   record      begins to record virtual threads that pin their carriers
 *   pinned      how many were recorded
 * </pre>
 */
final class Dialogue {
    private static final int PAYLOAD_BYTES = 64;
    /** Rounds until the compiler has left off. */
    private static final int WARM_ROUNDS = 200_000;

    private static final int ROUNDS = 100_000;

    private final boolean streams;
    private Recording recording;

    Dialogue(Flags flags) {
        // The poller writes into a buffer that it has; other handlers' answers are arrays.
        streams = flags.handlers.equals("poller");
    }

    /** Answers until the input ends. */
    void run() throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String word = input.readLine(); word != null; word = input.readLine()) {
            long number =
                    switch (word) {
                        case "allocated" -> allocated();
                        case "protobuf" -> protobuf();
                        case "record" -> record();
                        case "pinned" -> pinned();
                        default -> throw new IllegalArgumentException("asked for " + word);
                    };
            System.out.println(word + " " + number);
        }
    }

    private static com.sun.management.ThreadMXBean threads() {
        return (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    }

    /** Threads that have ended count from JDK 21 on; on older ones none of the bench's ends. */
    private static long allocated() throws Exception {
        try {
            ObjectName name = new ObjectName(ManagementFactory.THREAD_MXBEAN_NAME);
            return (long)
                    ManagementFactory.getPlatformMBeanServer()
                            .getAttribute(name, "TotalThreadAllocatedBytes");
        } catch (AttributeNotFoundException older) {
            long sum = 0;
            for (long bytes : threads().getThreadAllocatedBytes(threads().getAllThreadIds())) {
                sum += Math.max(0, bytes);
            }
            return sum;
        }
    }

    /** What the library cannot help: a message parsed, another built and serialized. */
    private long protobuf() throws Exception {
        byte[] request = EchoServer.request(PAYLOAD_BYTES);
        byte[] scratch = new byte[2 * request.length];
        long written = 0;
        long before = 0;
        for (int round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
            if (round == WARM_ROUNDS) {
                before = threads().getThreadAllocatedBytes(Thread.currentThread().getId());
            }
            written += once(request, scratch);
        }
        long after = threads().getThreadAllocatedBytes(Thread.currentThread().getId());
        if (written != (long) request.length * (WARM_ROUNDS + ROUNDS)) {
            throw new AssertionError(written);
        }
        return (after - before) / ROUNDS;
    }

    private int once(byte[] request, byte[] scratch) throws Exception {
        EchoRequest parsed = EchoRequest.parser().parseFrom(request, 0, request.length);
        EchoResponse answer = EchoResponse.newBuilder().setMessage(parsed.getMessage()).build();
        if (!streams) {
            return answer.toByteArray().length;
        }
        int length = answer.getSerializedSize();
        answer.writeTo(com.google.protobuf.CodedOutputStream.newInstance(scratch, 0, length));
        return length;
    }

    private long record() {
        recording = new Recording();
        recording.enable("jdk.VirtualThreadPinned").withoutThreshold();
        recording.start();
        return 0;
    }

    private long pinned() throws Exception {
        recording.stop();
        Path file = Files.createTempFile("pinned", ".jfr");
        try {
            recording.dump(file);
            return RecordingFile.readAllEvents(file).stream()
                    .filter(event -> event.getEventType().getName().endsWith("ThreadPinned"))
                    .count();
        } finally {
            Files.delete(file);
        }
    }
}
