package org.msec.examples.spring;

import org.msec.Engine;
import org.msec.Server;
import org.msec.examples.echo.EchoServiceClient;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

/**
 * An application that serves HTTP by Spring and calls by msec, in one process. Both end when the
 * context is closed: each bean below is closed with it, those that need another one first.
 */
@SpringBootApplication
public class Application {
    /** Runs until it is told to end. */
    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @Bean
    Engine engine() {
        return Engine.start();
    }

    /** Listens when the context is ready; under {@code msec host}, with the sockets of the host. */
    @Bean
    Server server(Engine engine, EchoBean echo, @Value("${msec.listen}") String address) {
        return Server.builder().service(echo).listen(address).start(engine);
    }

    /** Calls the service named by {@code msec.echo}; without a name, the one of this process. */
    @Bean
    EchoServiceClient echoClient(
            Engine engine, Server server, @Value("${msec.echo:}") String target) {
        return new EchoServiceClient(
                engine, target.isEmpty() ? server.addresses().get(0) : target);
    }
}
