package cases;

/** What does not exist must be missed in the same way: HotSpot's exceptions, not an end of the program. */
final class Missing implements Case {
    static class Small {
        int field;
    }

    @Override
    public void run() {
        attempt(() -> Class.forName("no.such." + "Type".trim()));
        attempt(() -> Class.forName("[Lno.such." + "Type;".trim()));
        attempt(() -> Class.forName("not/a/name"));
        attempt(() -> Missing.class.getClassLoader().loadClass("also.no.such." + "Type".trim()));
        Class<?> small = Small.class;
        attempt(() -> small.getDeclaredMethod("none" + "Such".trim(), int.class));
        attempt(() -> small.getDeclaredField("none" + "Such".trim()));
        attempt(() -> small.getDeclaredConstructor(String.class, small));
        attempt(() -> String.class.getMethod("none" + "Such".trim()));
        attempt(() -> Missing.class.getResource("/no/such/" + "file".trim()));
        attempt(() -> Missing.class.getResourceAsStream("none" + ".txt".trim()));
        attempt(() -> Missing.class.getClassLoader().getResources("no/such/" + "files".trim()).hasMoreElements());
        attempt(() -> small.getDeclaredConstructor().newInstance().getClass());
    }

    private interface Attempt {
        Object get() throws Exception;
    }

    private static void attempt(Attempt attempt) {
        try {
            System.out.println(attempt.get());
        } catch (Exception e) {
            System.out.println(e);
        }
    }
}
