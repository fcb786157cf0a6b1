package org.msec;

import java.nio.ByteBuffer;

/**
 * What the native library does, each as one short call; ffi-java/src has the other side, where the
 * file of the noun says what each of them means.
 *
 * <p>Handles are numbers that are never given out twice: one that is closed is an error, whoever
 * uses it. Texts are UTF-8. Any of them throws {@link MsecException}.
 */
final class Native {
    static {
        NativeLibrary.require();
    }

    private Native() {}

    static native long engineOpen(byte[] settings);

    static native void engineClose(long engine);

    static native byte[] engineConfig(long engine);

    static native int held(long engine);

    static native void attach(long engine, ByteBuffer records, ByteBuffer answers);

    static native int poll(long engine, int answersBytes, long patienceNs);

    static native void submit(long engine, int answersBytes);

    static native boolean answer(long engine, long request, int code, int result, byte[] body);

    static native byte[] body(long engine, boolean isRequest, long kept);

    static native boolean release(long engine, long kept);

    static native boolean isCancelled(long engine, long request);

    static native byte[] facts(long engine, long request);

    static native long clientOpen(long engine, byte[] target);

    static native void clientClose(long client);

    static native long call(long client, long id, long request, byte[] options, byte[] body);

    static native long rawCall(long engine, long id, long request, byte[] options, byte[] body);

    static native boolean cancel(long engine, long call);

    static native byte[] hostJoin(byte[] arguments);

    static native byte[] hostConfig(byte[] key);

    static native void hostWait();

    static native void hostLeave();

    static native long serverStart(long engine, byte[] description);

    static native byte[] serverAddresses(long server);

    static native void serverDrain(long server);

    static native long serverLoad(long server);

    static native void serverStop(long server, int graceMs);

    static native byte[] route(long engine, int kind, byte[] text);

    static native void metric(int kind, byte[] fields, long amount);

    static native byte[] metrics(long engine);

    static native boolean logIsOn(int level);

    static native void log(long engine, long request, int level, byte[] fields);

    static native boolean logFlush(int patienceMs);
}
