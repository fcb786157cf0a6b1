package org.msec.bench.peer;

import echo.Echo.EchoRequest;
import echo.Echo.EchoResponse;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerSocketChannel;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;

/**
 * grpc-java: {@code EchoServer [--pool] --listen ADDRESS:PORT}, the RPC server that a Java team
 * would take instead.
 *
 * <p>As cheap as it can be had on one processor: Netty's own epoll instead of the JDK's selector,
 * one event loop, since more would only take turns, and handlers on that loop ({@code
 * directExecutor}). {@code --pool} leaves the handlers where grpc-java puts them by itself, on a
 * cached pool of threads.
 *
 * <p>The service is written as its generator writes it, which is a program of its own to install.
 */
public final class EchoServer {
    /** As many bytes in flight on a connection as none of the bench's cells reaches. */
    private static final int WINDOW_BYTES = 4 * 1024 * 1024;

    private static final MethodDescriptor<EchoRequest, EchoResponse> ECHO =
            MethodDescriptor.<EchoRequest, EchoResponse>newBuilder()
                    .setType(MethodDescriptor.MethodType.UNARY)
                    .setFullMethodName("echo.EchoService/Echo")
                    .setSampledToLocalTracing(true)
                    .setRequestMarshaller(ProtoUtils.marshaller(EchoRequest.getDefaultInstance()))
                    .setResponseMarshaller(ProtoUtils.marshaller(EchoResponse.getDefaultInstance()))
                    .build();

    private EchoServer() {}

    private static void echo(EchoRequest request, StreamObserver<EchoResponse> answer) {
        answer.onNext(EchoResponse.newBuilder().setMessage(request.getMessage()).build());
        answer.onCompleted();
    }

    /** Runs until it is killed. */
    public static void main(String[] arguments) throws Exception {
        boolean pool = false;
        InetSocketAddress address = null;
        for (int index = 0; index < arguments.length; index++) {
            switch (arguments[index]) {
                case "--pool" -> pool = true;
                case "--listen" -> {
                    String[] parts = arguments[++index].split(":");
                    address = new InetSocketAddress(parts[0], Integer.parseInt(parts[1]));
                }
                default -> throw new IllegalArgumentException(arguments[index]);
            }
        }
        EventLoopGroup loop = new EpollEventLoopGroup(1);
        NettyServerBuilder builder =
                NettyServerBuilder.forAddress(address)
                        .channelType(EpollServerSocketChannel.class)
                        .bossEventLoopGroup(loop)
                        .workerEventLoopGroup(loop)
                        .flowControlWindow(WINDOW_BYTES)
                        .addService(
                                ServerServiceDefinition.builder("echo.EchoService")
                                        .addMethod(
                                                ECHO,
                                                ServerCalls.asyncUnaryCall(EchoServer::echo))
                                        .build());
        if (!pool) {
            builder.directExecutor();
        }
        Server server = builder.build().start();
        server.awaitTermination();
    }
}
