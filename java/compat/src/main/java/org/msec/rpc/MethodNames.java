package org.msec.rpc;

import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto.Builder;

/**
 * The two names of a method: as its .proto file spells it, and as protoc spells it in Java, which
 * is what many callers of services in Java have come to use.
 */
final class MethodNames {
    private MethodNames() {}

    /** {@code getTitles} of {@code GetTitles}, {@code getUrl} of {@code get_url}. */
    static String alias(String method) {
        StringBuilder alias = new StringBuilder();
        boolean raise = false;
        for (char letter : method.toCharArray()) {
            if (letter == '_') {
                raise = alias.length() > 0;
            } else if (alias.length() == 0) {
                alias.append(Character.toLowerCase(letter));
            } else {
                alias.append(raise ? Character.toUpperCase(letter) : letter);
                raise = false;
            }
        }
        return alias.toString();
    }

    /** Whether no method of the service has that name. */
    static boolean isFree(Builder service, String name) {
        return service.getMethodList().stream().noneMatch(one -> one.getName().equals(name));
    }
}
