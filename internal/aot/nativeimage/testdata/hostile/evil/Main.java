package evil;

/** The application of a framework: it runs when it is rehearsed. */
public final class Main {
    public static void main(String[] arguments) {
        Exploit.run("rehearsal");
    }
}
