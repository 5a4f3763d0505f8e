package cases;

/** One small function over one library; what it prints must not depend on time, order of hashes or place. */
interface Case {
    void run() throws Exception;

    static void main(Case of) {
        try {
            of.run();
        } catch (Throwable t) {
            for (Throwable e = t; e != null; e = e.getCause()) {
                System.out.println("failed: " + e);
            }
            t.printStackTrace();
            System.exit(1);
        }
        System.exit(0); // some libraries leave threads
    }
}
