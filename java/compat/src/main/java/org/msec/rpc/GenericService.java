package org.msec.rpc;

import com.google.protobuf.BlockingService;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.ServiceException;
import java.lang.reflect.InvocationTargetException;
import org.msec.Context;
import org.msec.Log;
import org.msec.Methods;
import org.msec.Metrics;
import org.msec.MsecException;
import org.msec.Service;
import org.msec.Status;

/**
 * An implementation of a {@code BlockingInterface}, which protoc generates for services of files
 * with {@code option java_generic_services = true}. Its methods are served by the names that the
 * .proto file has; the engine finds {@code GetTitles} also for who asks for {@code getTitles}.
 *
 * <p>What the business throws is answered with -1000 and its message, as callers of services in
 * Java expect it. What it does not throw as a {@link ServiceException} is logged.
 */
final class GenericService implements Service {
    private final String name;
    private final BlockingService service;

    GenericService(String name, Class<?> type, Object implementation) {
        this.name = name;
        this.service = generic(type, implementation);
    }

    private static BlockingService generic(Class<?> type, Object implementation) {
        if (!type.isInstance(implementation)) {
            throw new IllegalArgumentException(implementation + " does not implement " + type);
        }
        Class<?> outer = type.getEnclosingClass();
        try {
            if (outer != null) {
                Object made =
                        outer.getMethod("newReflectiveBlockingService", type)
                                .invoke(null, implementation);
                return (BlockingService) made;
            }
        } catch (InvocationTargetException error) {
            throw new IllegalArgumentException(type + " cannot be served", error.getCause());
        } catch (ReflectiveOperationException | ClassCastException error) {
            // It is none; told below.
        }
        throw new IllegalArgumentException(
                type + " is no BlockingInterface of a service that protoc has generated: its"
                        + " .proto file needs option java_generic_services = true");
    }

    @Override
    public void addTo(Methods methods) {
        var described = service.getDescriptorForType();
        for (MethodDescriptor method : described.getMethods()) {
            String full = name + "." + method.getName();
            var parser = service.getRequestPrototype(method).getParserForType();
            methods.add(full, parser, (context, request) -> serve(full, context, method, request));
        }
        methods.descriptors(described.getFile());
    }

    private Message serve(String full, Context context, MethodDescriptor method, Message request) {
        Metrics.add("frm.rpc request incoming: " + full, 1);
        Controller controller = new Controller(context);
        RpcContext before = RpcContext.enter(new RpcContext(context, request));
        try {
            Message answer = service.callBlockingMethod(method, controller, request);
            if (controller.failed()) {
                throw new ServiceException(controller.errorText());
            }
            if (answer == null) {
                throw new IllegalStateException("the method returned null, which is no answer");
            }
            Metrics.add("frm.rpc " + full + " succ count", 1);
            return answer;
        } catch (OutOfMemoryError error) {
            throw error;
        } catch (Throwable error) {
            Metrics.add("frm.rpc " + full + " failed count", 1);
            throw failed(full, error);
        } finally {
            RpcContext.leave(before);
        }
    }

    private static MsecException failed(String full, Throwable error) {
        if (!(error instanceof ServiceException)) {
            String text = "method " + full + " threw " + Log.trace(error);
            Log.write(Log.Level.ERROR, "msec.Handler", text);
        }
        String message = error.getMessage();
        String told = message == null ? error.getClass().getName() : message;
        return new MsecException(Status.JAVA_FAILED, told, error);
    }
}
