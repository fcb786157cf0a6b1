package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Peers of a service in Java that are slow, hostile, or die: the others do not notice. */
@Timeout(120)
class PeerTest {
    private static final int PEERS = 8;

    /** What a caller does to a server. */
    private interface Misdeed {
        void commit(Socket socket, byte[] request, Random random) throws Exception;
    }

    /** A request as it goes over the network. */
    private static byte[] recorded(Stage stage) throws Exception {
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String address = "127.0.0.1:" + listener.getLocalPort();
            try (Client client = new Client(stage.engine, address)) {
                CallOptions once = Stage.patient().retries(0);
                byte[] body = Stage.word("ein Wort".repeat(100)).toByteArray();
                client.callRawAsync("trial.Trial.Echo", body, once);
                try (Socket socket = listener.accept()) {
                    // A parenthesis, the lengths of head and body, both of them, a parenthesis.
                    InputStream input = socket.getInputStream();
                    ByteBuffer lengths = ByteBuffer.wrap(input.readNBytes(9));
                    int rest = lengths.getInt(1) + lengths.getInt(5) + 1;
                    byte[] all = Arrays.copyOf(lengths.array(), 9 + rest);
                    assertEquals(rest, input.readNBytes(all, 9, rest));
                    return all;
                }
            }
        }
    }

    /** Several who do it over and over again, while somebody calls who must not notice. */
    private static void nobodyNotices(Misdeed misdeed) throws Exception {
        try (Stage stage = new Stage()) {
            byte[] request = recorded(stage);
            String[] parts = stage.address().split(":");
            List<Thread> peers = new ArrayList<>();
            for (int peer = 0; peer < PEERS; peer++) {
                Random random = new Random(peer);
                Thread thread =
                        new Thread(
                                () -> {
                                    while (!Thread.interrupted()) {
                                        once(parts, misdeed, request, random);
                                    }
                                });
                peers.add(thread);
                thread.start();
            }
            long end = System.nanoTime() + 1_000_000_000L;
            for (int number = 0; System.nanoTime() < end; number++) {
                assertEquals(
                        number,
                        stage.client.echo(Stage.number(number), Stage.patient()).getNumber());
                assertEquals(
                        number,
                        stage.client.quick(Stage.number(number), Stage.patient()).getNumber());
            }
            peers.forEach(Thread::interrupt);
            for (Thread peer : peers) {
                peer.join();
            }
            // The client's own connection is left, and nothing that the others began.
            Stage.waitUntil("gone", () -> stage.server.connections() <= 1);
            Stage.waitUntil("ended", () -> stage.server.requestsInFlight() == 0);
        }
    }

    private static void once(String[] parts, Misdeed misdeed, byte[] request, Random random) {
        try (Socket socket = new Socket(parts[0], Integer.parseInt(parts[1]))) {
            misdeed.commit(socket, request, random);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        } catch (Exception refused) {
            // It is no worse than what they do.
            assertTrue(refused instanceof IOException, "" + refused);
        }
    }

    @Test
    void randomBytesHarmNobody() throws Exception {
        nobodyNotices(
                (socket, request, random) -> {
                    byte[] bytes = new byte[1 + random.nextInt(4096)];
                    random.nextBytes(bytes);
                    socket.getOutputStream().write(bytes);
                    Thread.sleep(1);
                });
    }

    @Test
    void requestsWithFlippedBytesHarmNobody() throws Exception {
        nobodyNotices(
                (socket, request, random) -> {
                    byte[] bytes = request.clone();
                    for (int flip = 0; flip < 4; flip++) {
                        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
                    }
                    socket.getOutputStream().write(bytes);
                    Thread.sleep(1);
                });
    }

    @Test
    void whoSendsByteByByteHoldsUpNobody() throws Exception {
        nobodyNotices(
                (socket, request, random) -> {
                    socket.setTcpNoDelay(true);
                    for (int at = 0; at < request.length; at++) {
                        socket.getOutputStream().write(request[at]);
                        Thread.sleep(1);
                    }
                });
    }

    @Test
    void whoResetsWithinAFrameOrBeforeTheAnswerIsForgotten() throws Exception {
        nobodyNotices(
                (socket, request, random) -> {
                    // What is closed is reset.
                    socket.setSoLinger(true, 0);
                    boolean whole = random.nextBoolean();
                    int length = whole ? request.length : random.nextInt(request.length);
                    socket.getOutputStream().write(request, 0, length);
                    Thread.sleep(random.nextInt(2));
                });
    }

    @Test
    void whoReadsNoAnswersHoldsUpNobody() throws Exception {
        nobodyNotices(
                (socket, request, random) -> {
                    for (int number = 0; number < 20; number++) {
                        socket.getOutputStream().write(request);
                    }
                    // Unread answers of them are here: so they are no overload on any machine.
                    while (socket.getInputStream().available() < 15 * request.length / 2) {
                        Thread.sleep(1);
                    }
                });
    }
}
