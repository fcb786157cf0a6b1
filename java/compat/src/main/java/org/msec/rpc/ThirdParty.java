package org.msec.rpc;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.msec.Context;
import org.msec.Engine;
import org.msec.Metrics;
import org.msec.MsecException;
import org.msec.Route;
import org.msec.Status;

/**
 * A call by a protocol of a third party: bytes out, and an answer whose end the caller's code
 * finds.
 *
 * <p>The engine finds the end of an answer on its cores, which run no Java; so these calls have
 * sockets of their own, for instances that the routes pick, and report what comes of it. The thread
 * waits in the socket; a virtual one lets its carrier go.
 *
 * <p>A connection carries one request at a time, and is kept only if its answer was whole and
 * nothing came after it. One that was kept and dies before a byte has come had been closed by the
 * peer, most likely: the request is sent again on a new one. Another instance is tried only where
 * no connection could be made.
 */
final class ThirdParty {
    /** What a call waits that says nothing. */
    static final int TIMEOUT_MS = 1000;

    private static final int CONNECT_MS = 1000;
    private static final int ATTEMPTS_MAX = 3;
    private static final int ANSWER_BYTES_MAX = 16 << 20;

    /** An instance without a way to it is left as one that has failed so often in a row. */
    private static final int UNREACHABLE_FAILURES = 3;

    /** Most servers close connections that have been idle for a minute. Tests have less time. */
    static volatile long idleNs = 50_000_000_000L;

    private static final int IDLE_MAX = 64;

    /** A connection that is kept, and since when. */
    private record Kept(Socket socket, long sinceNs) {
        boolean isFresh() {
            return System.nanoTime() - sinceNs < idleNs;
        }
    }

    private static final Map<InetSocketAddress, Deque<Kept>> KEPT = new ConcurrentHashMap<>();

    private final String target;
    private final CustomPackageLengthChecker checker;
    private final boolean keeps;
    private final long endNs;
    private boolean hasReceived;

    ThirdParty(
            String target, CustomPackageLengthChecker checker, int timeoutMillis, boolean keeps) {
        this.target = target;
        this.checker = checker;
        this.keeps = keeps;
        Context request = Context.current();
        long left = request == null ? Long.MAX_VALUE : request.remainingMs();
        long timeout = Math.min(left, timeoutMillis > 0 ? timeoutMillis : TIMEOUT_MS);
        this.endNs = System.nanoTime() + timeout * 1_000_000;
    }

    /** Sends a request; its answer is for that sequence if there is somebody who can read it. */
    byte[] send(byte[] request, long sequence, CustomPackageCodec codec) {
        Engine engine = Module.the().engine();
        for (int attempt = 1; ; attempt++) {
            String picked = Route.pick(engine, target);
            InetSocketAddress address = Addresses.parse(picked);
            if (address == null || picked.endsWith("@udp") || picked.contains("@tls")) {
                String text = picked + ": protocols of third parties go over TCP";
                throw new MsecException(Status.INVALID_ENDPOINT, text);
            }
            long begunNs = System.nanoTime();
            Socket socket = null;
            boolean good = false;
            try {
                socket = keeps ? kept(address) : null;
                byte[] answer = null;
                if (socket != null) {
                    answer = onKept(socket, request);
                }
                if (answer == null) {
                    socket = null;
                    socket = connect(address);
                    answer = exchange(socket, request);
                }
                if (codec != null && codec.decodeSequence(answer) != sequence) {
                    String text = picked + " has answered another request than " + sequence;
                    throw new MsecException(Status.INVALID_SEQUENCE, text);
                }
                good = true;
                keep(address, socket);
                return answer;
            } catch (SocketTimeoutException late) {
                throw new MsecException(Status.TIMEOUT, picked + " has not answered in time", late);
            } catch (IOException error) {
                boolean sent = socket != null;
                if (sent || attempt == ATTEMPTS_MAX || leftMs() <= 1) {
                    String what = sent ? "the connection to " : "no connection to ";
                    String text = what + picked + (sent ? " died: " : ": ") + error.getMessage();
                    throw new MsecException(Status.NETWORK, text, error);
                }
            } finally {
                Duration took = Duration.ofNanos(System.nanoTime() - begunNs);
                int failures = good ? 0 : socket == null ? UNREACHABLE_FAILURES : 1;
                Route.report(engine, target, picked, failures, took);
                if (!good) {
                    close(socket);
                }
            }
        }
    }

    /** Null if it has died before a byte came: the request goes on a new one. */
    private byte[] onKept(Socket socket, byte[] request) throws IOException {
        try {
            return exchange(socket, request);
        } catch (SocketTimeoutException late) {
            throw late;
        } catch (IOException died) {
            close(socket);
            if (hasReceived) {
                throw died;
            }
            return null;
        }
    }

    /** Java's sockets have no time-out for this, and a peer that reads nothing has no room. */
    private void write(Socket socket, byte[] request) throws IOException {
        CompletableFuture<Void> written = new CompletableFuture<>();
        written.whenComplete((done, late) -> close(late == null ? null : socket));
        written.orTimeout(leftMs(), TimeUnit.MILLISECONDS);
        IOException failed = null;
        try {
            socket.getOutputStream().write(request);
        } catch (IOException error) {
            failed = error;
        }
        if (!written.complete(null)) {
            // It was late before, and the socket is closed for that.
            throw new SocketTimeoutException("it does not take the request");
        }
        if (failed != null) {
            throw failed;
        }
    }

    private byte[] exchange(Socket socket, byte[] request) throws IOException {
        write(socket, request);
        InputStream input = socket.getInputStream();
        ByteArrayOutputStream received = new ByteArrayOutputStream();
        byte[] buffer = new byte[16 << 10];
        while (true) {
            socket.setSoTimeout(leftMs());
            int count = input.read(buffer);
            if (count < 0) {
                throw new IOException("closed by the peer before its answer was whole");
            }
            hasReceived = true;
            received.write(buffer, 0, count);
            byte[] all = received.toByteArray();
            int length = checker.checkPackageLength(all);
            if (length < 0) {
                String text = target + " has sent what is no answer: " + length;
                throw new MsecException(Status.INVALID_PACKAGE, text);
            }
            if (length > ANSWER_BYTES_MAX || all.length > ANSWER_BYTES_MAX) {
                String text = "an answer of " + target + " has more than " + ANSWER_BYTES_MAX;
                throw new MsecException(Status.TOO_LARGE, text + " bytes");
            }
            if (length > 0 && length <= all.length) {
                if (length < all.length) {
                    // Nobody asked for the rest.
                    socket.shutdownOutput();
                }
                return java.util.Arrays.copyOf(all, length);
            }
        }
    }

    private Socket connect(InetSocketAddress address) throws IOException {
        // As often as there are new ones is often enough.
        closeStale();
        Socket socket = new Socket();
        boolean connected = false;
        try {
            socket.setTcpNoDelay(true);
            socket.connect(address, Math.min(CONNECT_MS, leftMs()));
            connected = true;
            Metrics.add("frm.rpc new tcp connection", 1);
            return socket;
        } catch (SocketTimeoutException late) {
            // Nothing was sent: somebody else may still answer.
            throw new IOException("no connection in time", late);
        } finally {
            if (!connected) {
                Metrics.add("frm.rpc new tcp connection failed.", 1);
                close(socket);
            }
        }
    }

    /** At least 1: 0 would be for ever. */
    private int leftMs() {
        long left = (endNs - System.nanoTime()) / 1_000_000;
        return (int) Math.max(1, Math.min(left, Integer.MAX_VALUE));
    }

    /** The connection that was used last, if one is still good. */
    private static Socket kept(InetSocketAddress address) throws IOException {
        while (true) {
            Kept[] last = {null};
            KEPT.computeIfPresent(
                    address,
                    (same, idle) -> {
                        last[0] = idle.pollLast();
                        return idle.isEmpty() ? null : idle;
                    });
            if (last[0] == null) {
                return null;
            }
            Socket socket = last[0].socket;
            if (last[0].isFresh() && socket.getInputStream().available() == 0) {
                return socket;
            }
            close(socket);
        }
    }

    private void keep(InetSocketAddress address, Socket socket) {
        boolean[] kept = {false};
        if (keeps && !socket.isOutputShutdown()) {
            KEPT.compute(
                    address,
                    (same, known) -> {
                        Deque<Kept> idle = known == null ? new ArrayDeque<>() : known;
                        kept[0] = idle.size() < IDLE_MAX;
                        if (kept[0]) {
                            idle.addLast(new Kept(socket, System.nanoTime()));
                        }
                        return idle;
                    });
        }
        if (!kept[0]) {
            close(socket);
        }
    }

    /** Closes what was kept too long, of instances that have gone as well. */
    private static void closeStale() {
        for (InetSocketAddress address : KEPT.keySet()) {
            List<Kept> stale = new ArrayList<>();
            KEPT.computeIfPresent(
                    address,
                    (same, idle) -> {
                        while (!idle.isEmpty() && !idle.peekFirst().isFresh()) {
                            stale.add(idle.pollFirst());
                        }
                        return idle.isEmpty() ? null : idle;
                    });
            stale.forEach(kept -> close(kept.socket));
        }
    }

    /** How many are kept. */
    static int keptCount() {
        return KEPT.values().stream().mapToInt(Deque::size).sum();
    }

    private static void close(Socket socket) {
        try {
            if (socket != null) {
                socket.close();
            }
        } catch (IOException error) {
            // It is gone in any case.
        }
    }
}
