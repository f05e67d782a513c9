package io.grpc;

/**
 * The emulator's jar holds an older form of this class than its own network code calls, so that a cancelled stream ends
 * in NoSuchMethodError and goes on being delivered to. This class precedes the jar and has the missing method.
 */
public final class InternalStatus {
    public static final Metadata.Key<String> MESSAGE_KEY = Status.MESSAGE_KEY;
    public static final Metadata.Key<Status> CODE_KEY = Status.CODE_KEY;

    private InternalStatus() {}

    public static StatusRuntimeException asRuntimeExceptionWithoutStacktrace(Status status, Metadata trailers) {
        return new StatusRuntimeException(status, trailers);
    }

    public static StatusRuntimeException asRuntimeException(Status status, Metadata trailers, boolean trace) {
        return new StatusRuntimeException(status, trailers);
    }
}
