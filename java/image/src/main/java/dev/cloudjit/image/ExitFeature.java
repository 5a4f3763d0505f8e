package dev.cloudjit.image;

import com.oracle.svm.core.jdk.RuntimeSupport;
import org.graalvm.nativeimage.hosted.Feature;
import org.graalvm.nativeimage.hosted.RuntimeClassInitialization;

/**
 * Makes a binary end at once where it lacks metadata. Its mode Exit calls System.exit, which waits for the
 * application's shutdown hooks: and those of a web application wait for the requests under way, one of
 * which is the one that called System.exit. Spring's take half a minute to give up.
 */
public final class ExitFeature implements Feature {
    @Override
    public void beforeAnalysis(BeforeAnalysisAccess access) {
        RuntimeClassInitialization.initializeAtBuildTime(ExitHook.class);
        RuntimeSupport.getRuntimeSupport().addStartupHook(new ExitHook());
    }
}
