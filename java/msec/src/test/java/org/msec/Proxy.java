package org.msec;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** A proxy in front of a server, which resets connections when it is told to. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listener;
    private final String[] target;
    /** Both ends of each connection; guarded by itself. */
    private final List<Socket[]> links = new ArrayList<>();

    Proxy(String target) throws IOException {
        this.target = target.split(":");
        listener = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        start(this::accept);
    }

    private static void start(Runnable work) {
        Thread thread = new Thread(work, "proxy");
        thread.setDaemon(true);
        thread.start();
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    private void accept() {
        while (!listener.isClosed()) {
            try {
                Socket client = listener.accept();
                Socket server = new Socket(target[0], Integer.parseInt(target[1]));
                synchronized (links) {
                    links.add(new Socket[] {client, server});
                }
                start(() -> pump(client, server));
                start(() -> pump(server, client));
            } catch (IOException closed) {
                // It, or the server.
            }
        }
    }

    /** Carries bytes one way until either end is closed, and closes both. */
    private static void pump(Socket from, Socket to) {
        byte[] memory = new byte[64 * 1024];
        try (from;
                to) {
            InputStream input = from.getInputStream();
            OutputStream output = to.getOutputStream();
            for (int count = input.read(memory); count > 0; count = input.read(memory)) {
                output.write(memory, 0, count);
            }
        } catch (IOException reset) {
            // That is what it is for.
        }
    }

    /** Resets one connection, or ends it in order. */
    void harm(Random random) throws IOException {
        Socket[] ends;
        synchronized (links) {
            links.removeIf(link -> link[0].isClosed() && link[1].isClosed());
            if (links.isEmpty()) {
                return;
            }
            ends = links.remove(random.nextInt(links.size()));
        }
        for (Socket end : ends) {
            try {
                if (random.nextBoolean()) {
                    end.setSoLinger(true, 0);
                }
            } catch (IOException closed) {
                // By its peer.
            }
            end.close();
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        synchronized (links) {
            for (Socket[] ends : links) {
                ends[0].close();
                ends[1].close();
            }
        }
    }
}
