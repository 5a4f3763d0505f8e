package cases;

/** Looks up what only {@link Reflection} has metadata for: the image that both are in must refuse it. */
final class Control implements Case {
    @Override
    public void run() throws Exception {
        System.out.println(Class.forName(new StringBuilder("nigulP$noitcelfeR.sesac").reverse().toString()));
    }
}
