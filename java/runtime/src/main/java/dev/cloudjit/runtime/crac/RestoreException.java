package dev.cloudjit.runtime.crac;

/** Resources that failed after the process went on; they are the suppressed ones. */
public class RestoreException extends Exception {
    private static final long serialVersionUID = 1;

    public RestoreException() {}

    public RestoreException(String message) {
        super(message);
    }
}
