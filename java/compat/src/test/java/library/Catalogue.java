package library;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicInteger;
import org.msec.rpc.CustomPackageHelper;

/** A third party's server and codec: the length in ten decimal digits, and JSON. */
public final class Catalogue implements AutoCloseable {
    private static final int DIGITS = 10;

    private final ServerSocket listener;
    private final AtomicInteger connections = new AtomicInteger();

    /** Listens at an IP of this machine. */
    public Catalogue(String ip, int port) throws IOException {
        listener = new ServerSocket(port, 50, InetAddress.getByName(ip));
        start(this::accept);
    }

    public String address() {
        return listener.getInetAddress().getHostAddress() + ":" + listener.getLocalPort();
    }

    public int connections() {
        return connections.get();
    }

    private static void start(Runnable work) {
        Thread thread = new Thread(work, "catalogue");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                Socket socket = listener.accept();
                socket.setTcpNoDelay(true);
                connections.incrementAndGet();
                start(() -> serve(socket));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private static void serve(Socket socket) {
        try (socket) {
            DataInputStream input = new DataInputStream(socket.getInputStream());
            while (true) {
                byte[] digits = new byte[DIGITS];
                input.readFully(digits);
                int length = Integer.parseInt(new String(digits, StandardCharsets.UTF_8).trim());
                byte[] json = new byte[length];
                input.readFully(json);
                String text = new String(json, StandardCharsets.UTF_8);
                if (text.contains("silence")) {
                    continue;
                }
                byte[] answer = text.contains("nonsense") ? "no digits!".getBytes() : frame(text);
                // In two parts: the end has to be looked for again.
                socket.getOutputStream().write(answer, 0, 5);
                socket.getOutputStream().flush();
                socket.getOutputStream().write(answer, 5, answer.length - 5);
                if (text.contains("goodbye")) {
                    return;
                }
            }
        } catch (IOException gone) {
            // The caller has closed.
        }
    }

    public static byte[] frame(String json) {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(String.format("%10d", body.length).getBytes(StandardCharsets.UTF_8));
        out.writeBytes(body);
        return out.toByteArray();
    }

    public static int length(byte[] data) {
        if (data.length < DIGITS) {
            return 0;
        }
        String digits = new String(data, 0, DIGITS, StandardCharsets.UTF_8).trim();
        return digits.matches("[0-9]+") ? DIGITS + Integer.parseInt(digits) : -1;
    }

    /** As the manual of the original has it. */
    public static final class Codec implements CustomPackageHelper {
        private final String question;

        public Codec(String question) {
            this.question = question;
        }

        @Override
        public int encode(long sequence, ByteArrayOutputStream stream) {
            String json = "{\"seq\":" + sequence + ",\"q\":\"" + question + "\"}";
            stream.writeBytes(frame(json));
            return question.equals("unspeakable") ? -1 : 0;
        }

        @Override
        public int checkPackageLength(byte[] data) {
            return length(data);
        }

        @Override
        public long decodeSequence(byte[] data) {
            String text = new String(data, StandardCharsets.UTF_8);
            return Long.parseLong(text.replaceAll("(?s).*\"seq\":([0-9]+).*", "$1"));
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
