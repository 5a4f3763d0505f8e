package dev.cloudjit.runtime.crac;

/** Resources that failed before the process was saved; they are the suppressed ones. */
public class CheckpointException extends Exception {
    private static final long serialVersionUID = 1;

    public CheckpointException() {}

    public CheckpointException(String message) {
        super(message);
    }
}
