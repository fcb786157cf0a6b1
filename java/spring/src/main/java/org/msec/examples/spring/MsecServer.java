package org.msec.examples.spring;

import org.msec.Engine;
import org.msec.Server;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.SmartLifecycle;
import org.springframework.stereotype.Component;

/**
 * Takes calls from when everything else is up until anything is closed: what Spring starts last and
 * stops first. Under {@code msec host} a new JVM is ready with it.
 */
@Component
class MsecServer implements SmartLifecycle {
    private final Engine engine;
    private final EchoBean echo;
    private final String address;
    private volatile Server server;

    MsecServer(Engine engine, EchoBean echo, @Value("${msec.listen}") String address) {
        this.engine = engine;
        this.echo = echo;
        this.address = address;
    }

    @Override
    public void start() {
        server = Server.builder().service(echo).listen(address).start(engine);
    }

    @Override
    public void stop() {
        server.close();
        server = null;
    }

    @Override
    public boolean isRunning() {
        return server != null;
    }
}
