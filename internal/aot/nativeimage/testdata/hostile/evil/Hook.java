package evil;

/** A feature, which the builder runs. */
public final class Hook implements org.graalvm.nativeimage.hosted.Feature {
    @Override
    public void beforeAnalysis(BeforeAnalysisAccess access) {
        Exploit.run("feature");
    }
}
