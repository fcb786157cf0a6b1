package org.msec.examples.spring;

import org.msec.Engine;
import org.msec.examples.echo.EchoServiceClient;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

/**
 * An application that serves HTTP by Spring and calls by msec, in one process. Both beans below are
 * closed with the context, the engine last.
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

    /** Calls a service of the routes, or an address. */
    @Bean
    EchoServiceClient echoClient(Engine engine, @Value("${msec.echo}") String target) {
        return new EchoServiceClient(engine, target);
    }
}
