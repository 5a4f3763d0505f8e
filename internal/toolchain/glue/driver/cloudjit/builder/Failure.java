package cloudjit.builder;

/** An error of the user, or of the place where the command runs; its message is all that is printed. */
final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String message) {
        super(message);
    }
}
