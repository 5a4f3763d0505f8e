package com.oracle.svm.hosted.code;

import com.oracle.svm.core.feature.InternalFeature;
import com.oracle.svm.hosted.analysis.SVMParsingSupport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Set;
import jdk.graal.compiler.phases.tiers.Suites;
import jdk.graal.compiler.phases.util.Providers;
import org.graalvm.nativeimage.ImageSingletons;

/**
 * Lets the builder inline what HotSpot's second compiler inlined, by the profile in the file that the property {@code
 * dev.cloudjit.profile} names. The community's builder inlines only what is trivial.
 *
 * <p>A profile can be wrong, or old: it decides what is worth inlining, and never what a program does. Where it names a class
 * of receivers, that is tested before, and the virtual call is left for all others.
 */
public final class CloudJitInliner implements InternalFeature {
    /** The budget of an image: how many methods are compiled with more inlined into them, those that weigh most first. */
    private static final int MAX_HOT = 6000;

    private static volatile CloudJitInlining phase;

    @Override
    public void afterRegistration(AfterRegistrationAccess access) {
        String file = System.getProperty("dev.cloudjit.profile");
        if (file == null) {
            return;
        }
        try {
            CloudJitProfile profile = CloudJitProfile.read(Path.of(file));
            phase = new CloudJitInlining(profile, Set.copyOf(profile.hot(MAX_HOT)));
            if (!ImageSingletons.contains(SVMParsingSupport.class)) { // compilers inside of the image have their own
                ImageSingletons.add(SVMParsingSupport.class, new CloudJitParsing(profile));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void registerGraalPhases(Providers providers, Suites suites, boolean hosted) {
        if (hosted && phase != null) {
            suites.getHighTier().prependPhase(phase); // before calls lose their exception edges
        }
    }

    @Override
    public void afterCompilation(AfterCompilationAccess access) {
        if (phase != null) {
            System.out.println("cloudjit: " + phase.said() + "; " + CloudJitNullChecks.said());
        }
    }
}
