package org.msec.rpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;
import org.msec.Status;
import srpc.Head.CRpcHead;

/**
 * Messages for programs that have a socket of their own: a request is made into bytes, the end of
 * an answer is found, and the answer is read. It starts no engine. One thread at a time.
 *
 * <p>A message is {@code (}, the length of its head and that of its body in four bytes each, the
 * greatest first, head, body, and {@code )}.
 */
public final class SrpcProxy {
    private static final int OVERHEAD = 10;
    private static final int HEAD_AT = 9;

    private String caller = "";
    private String method = "";
    private long sequence;
    private boolean coloring;
    private int errno;
    private String errmsg = "";

    /** Of no method yet. */
    public SrpcProxy() {}

    /**
     * Who calls.
     *
     * @param caller whatever the callee is to see
     */
    public void setCaller(String caller) {
        this.caller = caller;
    }

    /**
     * What is called.
     *
     * @param method {@code package.Service.Method}
     */
    public void setMethod(String method) {
        this.method = method;
    }

    /**
     * The number that the answer will have.
     *
     * @param sequence without it, or with 0, one by chance
     */
    public void setSequence(long sequence) {
        this.sequence = sequence;
    }

    /**
     * Whether all records of the log are kept that services write for this request.
     *
     * @param coloring whether they are
     */
    public void setColoring(boolean coloring) {
        this.coloring = coloring;
    }

    /**
     * The number of the request; after {@link #deserialize}, of the answer.
     *
     * @return 0 if neither is there
     */
    public long getSequence() {
        return sequence;
    }

    /**
     * What the callee has answered with.
     *
     * @return 0 if it has succeeded
     */
    public int getErrno() {
        return errno;
    }

    /**
     * What the callee says of that.
     *
     * @return empty if it has succeeded
     */
    public String getErrmsg() {
        return errmsg;
    }

    /**
     * A request as it is to be sent.
     *
     * @param request the message
     * @return all its bytes
     * @throws IllegalStateException no method was set
     */
    public byte[] serialize(MessageLite request) {
        if (method.isEmpty()) {
            throw new IllegalStateException("what is called? call setMethod first");
        }
        if (sequence == 0) {
            sequence = ThreadLocalRandom.current().nextLong(1, 1L << 31);
        }
        CRpcHead.Builder head = CRpcHead.newBuilder().setSequence(sequence);
        head.setMethodName(ByteString.copyFromUtf8(method)).setFlowId(sequence);
        if (!caller.isEmpty()) {
            head.setCaller(ByteString.copyFromUtf8(caller));
        }
        if (coloring) {
            head.setColoring(1);
        }
        byte[] first = head.build().toByteArray();
        byte[] body = request.toByteArray();
        ByteBuffer out = ByteBuffer.allocate(OVERHEAD + first.length + body.length);
        out.put((byte) '(').putInt(first.length).putInt(body.length);
        return out.put(first).put(body).put((byte) ')').array();
    }

    /**
     * How long the message is whose first bytes these are.
     *
     * @param data the bytes
     * @param length how many of them count
     * @return its length; 0 if it is not whole; -1 if this is no message
     */
    public static int checkPackage(byte[] data, int length) {
        if (length > 0 && data[0] != '(') {
            return -1;
        }
        if (length < OVERHEAD) {
            return 0;
        }
        ByteBuffer in = ByteBuffer.wrap(data, 1, 8);
        long head = in.getInt();
        long body = in.getInt();
        long whole = OVERHEAD + head + body;
        if (head <= 0 || body < 0 || whole > Integer.MAX_VALUE) {
            return -1;
        }
        if (length < whole) {
            return 0;
        }
        return data[(int) whole - 1] == ')' ? (int) whole : -1;
    }

    /**
     * Reads an answer.
     *
     * @param data its bytes
     * @param length how many of them count; it must be whole
     * @param instance any answer of that kind
     * @return the answer; null if it is an error, which {@link #getErrno} and {@link #getErrmsg}
     *     tell: the callee's, or -3 no message, -4 no head, -5 no such body
     */
    public MessageLite deserialize(byte[] data, int length, MessageLite instance) {
        if (checkPackage(data, length) != length) {
            return fail(Status.INVALID_PACKAGE.code(), "it is not one whole message");
        }
        int headLength = ByteBuffer.wrap(data, 1, 4).getInt();
        CRpcHead head;
        try {
            byte[] bytes = Arrays.copyOfRange(data, HEAD_AT, HEAD_AT + headLength);
            head = CRpcHead.parseFrom(bytes);
        } catch (InvalidProtocolBufferException error) {
            return fail(Status.INVALID_HEAD.code(), error.getMessage());
        }
        sequence = head.getSequence();
        if (head.getErr() != 0) {
            return fail(head.getErr(), head.getErrMsg().toStringUtf8());
        }
        try {
            byte[] body = Arrays.copyOfRange(data, HEAD_AT + headLength, length - 1);
            MessageLite answer = instance.getParserForType().parseFrom(body);
            errno = 0;
            errmsg = "";
            return answer;
        } catch (InvalidProtocolBufferException error) {
            return fail(Status.INVALID_BODY.code(), error.getMessage());
        }
    }

    private MessageLite fail(int code, String text) {
        errno = code;
        errmsg = text.isEmpty() ? Status.of(code).text() : text;
        return null;
    }
}
