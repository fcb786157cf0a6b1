package org.msec;

import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** The methods of a server, while it is built. One thread at a time. */
public final class Methods {
    final List<Method> list = new ArrayList<>();
    final Set<FileDescriptor> files = new LinkedHashSet<>();

    Methods() {}

    /** One method; its options may be changed until the server is started. */
    public static final class Method {
        final String name;
        /** Null for bytes. */
        final Parser<?> parser;

        final Handler<Object, Object> handler;
        boolean nonBlocking;
        int requestsMax;
        boolean adaptiveLimit = true;
        /** What the native library knows it by. */
        int number;

        @SuppressWarnings("unchecked")
        Method(String name, Parser<?> parser, Handler<?, ?> handler) {
            this.name = name;
            this.parser = parser;
            this.handler = (Handler<Object, Object>) handler;
        }

        /** One of its own for each server, which numbers it. */
        Method copy() {
            Method copy = new Method(name, parser, handler);
            copy.nonBlocking = nonBlocking;
            copy.requestsMax = requestsMax;
            copy.adaptiveLimit = adaptiveLimit;
            return copy;
        }

        /**
         * Runs the method on the poller; see {@link NonBlocking}.
         *
         * @return this
         */
        public Method nonBlocking() {
            nonBlocking = true;
            return this;
        }

        /**
         * Bounds its requests in flight in this process; more are answered with -101.
         *
         * @param count at least 1; 0 is no bound, the default
         * @return this
         */
        public Method requestsMax(int count) {
            requestsMax = count;
            return this;
        }

        /**
         * Whether its requests are refused with -101 when those in flight queue up for something
         * scarce, so that most are too late; default yes.
         *
         * @param on whether they are
         * @return this
         */
        public Method adaptiveLimit(boolean on) {
            adaptiveLimit = on;
            return this;
        }
    }

    /**
     * Adds a method with messages.
     *
     * @param name {@code package.Service.Method}
     * @param parser of the request: {@code EchoRequest.parser()}
     * @param handler serves it
     * @param <Q> the request
     * @param <R> the answer
     * @return the method, for its options
     */
    public <Q extends MessageLite, R extends MessageLite> Method add(
            String name, Parser<Q> parser, Handler<? super Q, ? extends R> handler) {
        return put(new Method(name, parser, handler));
    }

    /**
     * Adds a method that takes and returns bytes.
     *
     * @param name {@code package.Service.Method}
     * @param handler serves it
     * @return the method, for its options
     */
    public Method addRaw(String name, Handler<byte[], byte[]> handler) {
        return put(new Method(name, null, handler));
    }

    /**
     * As {@link #add}, of a service's own method, which may be {@link NonBlocking}. For generated
     * code.
     *
     * @param service the service
     * @param function the name of its method in Java
     * @param request the class of the request
     * @param name {@code package.Service.Method}
     * @param parser of the request
     * @param handler calls the method
     * @param <Q> the request
     * @param <R> the answer
     */
    public <Q extends MessageLite, R extends MessageLite> void add(
            Service service,
            String function,
            Class<Q> request,
            String name,
            Parser<Q> parser,
            Handler<? super Q, ? extends R> handler) {
        Method method = add(name, parser, handler);
        Class<?> type = service.getClass();
        try {
            java.lang.reflect.Method java = type.getMethod(function, Context.class, request);
            method.nonBlocking = isNonBlocking(type, java);
        } catch (NoSuchMethodException error) {
            throw new IllegalArgumentException(type + " has no method " + function, error);
        }
    }

    /**
     * Says what the messages of methods look like, so that they can be called with JSON. Generated
     * services bring their own.
     *
     * @param file the descriptor of a .proto file
     */
    public void descriptors(FileDescriptor file) {
        if (!files.contains(file)) {
            file.getDependencies().forEach(this::descriptors);
            files.add(file);
        }
    }

    /** Adds the methods of an object that are marked with {@link Serves}. */
    void addObject(Object object) {
        int before = list.size();
        for (java.lang.reflect.Method java : object.getClass().getMethods()) {
            Serves serves = java.getAnnotation(Serves.class);
            if (serves != null) {
                addOne(object, java, serves.value());
            }
        }
        if (list.size() == before) {
            String name = object.getClass().getName();
            throw new IllegalArgumentException(name + " has no public method with @Serves");
        }
    }

    private void addOne(Object object, java.lang.reflect.Method java, String name) {
        Class<?>[] parameters = java.getParameterTypes();
        if (parameters.length != 2 || parameters[0] != Context.class) {
            throw new IllegalArgumentException(java + ": takes a Context and a request");
        }
        // A public method of a class that is not.
        java.setAccessible(true);
        Handler<Object, Object> handler =
                (context, request) -> {
                    try {
                        return java.invoke(object, context, request);
                    } catch (InvocationTargetException thrown) {
                        if (thrown.getCause() instanceof Error error) {
                            throw error;
                        }
                        throw (Exception) thrown.getCause();
                    }
                };
        Method method = put(new Method(name, parserOf(java, parameters[1]), handler));
        method.nonBlocking = isNonBlocking(object.getClass(), java);
    }

    private Parser<?> parserOf(java.lang.reflect.Method java, Class<?> request) {
        if (request == byte[].class) {
            return null;
        }
        try {
            Object none = request.getMethod("getDefaultInstance").invoke(null);
            if (none instanceof Message message) {
                descriptors(message.getDescriptorForType().getFile());
            }
            return ((MessageLite) none).getParserForType();
        } catch (ReflectiveOperationException | ClassCastException error) {
            throw new IllegalArgumentException(java + ": takes no message and no bytes", error);
        }
    }

    private static boolean isNonBlocking(Class<?> type, java.lang.reflect.Method java) {
        return java.isAnnotationPresent(NonBlocking.class)
                || type.isAnnotationPresent(NonBlocking.class);
    }

    private Method put(Method method) {
        list.add(method);
        return method;
    }

    /** The descriptor set of all files. */
    byte[] descriptorSet() {
        FileDescriptorSet.Builder set = FileDescriptorSet.newBuilder();
        files.forEach(file -> set.addFile(file.toProto()));
        return set.build().toByteArray();
    }
}
