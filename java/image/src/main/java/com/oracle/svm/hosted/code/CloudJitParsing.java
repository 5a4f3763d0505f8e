package com.oracle.svm.hosted.code;

import com.oracle.graal.pointsto.BigBang;
import com.oracle.graal.pointsto.PointsToAnalysis;
import com.oracle.graal.pointsto.api.HostVM;
import com.oracle.graal.pointsto.infrastructure.GraphProvider;
import com.oracle.graal.pointsto.meta.AnalysisMethod;
import com.oracle.graal.pointsto.meta.AnalysisType;
import com.oracle.graal.pointsto.meta.HostedProviders;
import com.oracle.graal.pointsto.phases.InlineBeforeAnalysisPolicy;
import com.oracle.svm.common.meta.MultiMethod;
import com.oracle.svm.hosted.SVMHost;
import com.oracle.svm.hosted.analysis.SVMParsingSupport;
import com.oracle.svm.hosted.phases.InlineBeforeAnalysisPolicyUtils;
import java.util.Map;
import java.util.function.Function;
import jdk.graal.compiler.core.common.PermanentBailoutException;
import jdk.graal.compiler.debug.DebugContext;
import jdk.graal.compiler.nodes.StructuredGraph;
import jdk.graal.compiler.nodes.graphbuilderconf.GraphBuilderConfiguration;
import jdk.graal.compiler.nodes.graphbuilderconf.InvocationPlugin;
import jdk.graal.compiler.nodes.spi.ProfileProvider;
import jdk.graal.compiler.phases.OptimisticOptimizations;
import jdk.vm.ci.meta.DeoptimizationReason;
import jdk.vm.ci.meta.JavaMethodProfile;
import jdk.vm.ci.meta.JavaTypeProfile;
import jdk.vm.ci.meta.ProfilingInfo;
import jdk.vm.ci.meta.ResolvedJavaMethod;
import jdk.vm.ci.meta.ResolvedJavaType;
import jdk.vm.ci.meta.TriState;

/**
 * Parses methods of which the profile knows branches, so that the parser gives them their probabilities. It does so just as the
 * builder would, and leaves all methods to it that are not plain bytecode.
 */
final class CloudJitParsing implements SVMParsingSupport, ProfileProvider {
    private final CloudJitProfile profile;

    CloudJitParsing(CloudJitProfile profile) {
        this.profile = profile;
    }

    @Override
    public ProfilingInfo getProfilingInfo(ResolvedJavaMethod m) {
        if (!(m instanceof AnalysisMethod a) || a.getWrapped() instanceof GraphProvider) {
            return null;
        }
        var body = profile.body(CloudJitProfile.key(m.getDeclaringClass().toJavaName(), m.getName(), m.getSignature().toMethodDescriptor()));
        return body == null || body.branches().isEmpty() ? null : new Branches(body.branches());
    }

    @Override
    public ProfilingInfo getProfilingInfo(ResolvedJavaMethod m, boolean includeNormal, boolean includeOSR) {
        return getProfilingInfo(m);
    }

    @Override
    public Object parseGraph(BigBang bb, DebugContext debug, AnalysisMethod m) {
        if (!m.isOriginalMethod() || m.getCode() == null || getProfilingInfo(m) == null) {
            return HostVM.PARSING_UNHANDLED;
        }
        HostedProviders providers = bb.getProviders(m);
        GraphBuilderConfiguration.Plugins plugins = providers.getGraphBuilderPlugins();
        InvocationPlugin plugin = plugins.getInvocationPlugins().lookupInvocation(m, debug.getOptions());
        if (plugin != null && !plugin.inlineOnly()) {
            return HostVM.PARSING_UNHANDLED;
        }
        // As com.oracle.graal.pointsto.flow.AnalysisParsedGraph does it, but for the provider of profiles.
        StructuredGraph graph = new StructuredGraph.Builder(debug.getOptions(), debug).method(m).profileProvider(this).recordInlinedMethods(false).build();
        GraphBuilderConfiguration config = GraphBuilderConfiguration.getDefault(plugins).withEagerResolving(true).withUnresolvedIsError(false)
                .withNodeSourcePosition(true).withBytecodeExceptionMode(GraphBuilderConfiguration.BytecodeExceptionMode.CheckAll).withRetainLocalVariables(true);
        config = bb.getHostVM().updateGraphBuilderConfiguration(config, m);
        try {
            bb.getHostVM().createGraphBuilderPhase(providers, config, OptimisticOptimizations.NONE, null).apply(graph);
        } catch (PermanentBailoutException e) {
            return HostVM.PARSING_UNHANDLED; // the builder says why
        }
        return graph;
    }

    /** What the parser asks for; of all but branches nothing is known. */
    private record Branches(Map<Integer, Double> taken) implements ProfilingInfo {
        @Override
        public double getBranchTakenProbability(int bci) {
            return taken.getOrDefault(bci, -1.0);
        }

        @Override
        public int getCodeSize() {
            return 0;
        }

        @Override
        public double[] getSwitchProbabilities(int bci) {
            return null;
        }

        @Override
        public JavaTypeProfile getTypeProfile(int bci) {
            return null;
        }

        @Override
        public JavaMethodProfile getMethodProfile(int bci) {
            return null;
        }

        @Override
        public TriState getExceptionSeen(int bci) {
            return TriState.UNKNOWN;
        }

        @Override
        public TriState getNullSeen(int bci) {
            return TriState.UNKNOWN;
        }

        @Override
        public int getExecutionCount(int bci) {
            return -1;
        }

        @Override
        public int getDeoptimizationCount(DeoptimizationReason reason) {
            return 0;
        }

        @Override
        public boolean isMature() {
            return true;
        }

        @Override
        public void setMature() {}

        @Override
        public boolean setCompilerIRSize(Class<?> irType, int irSize) {
            return false;
        }

        @Override
        public int getCompilerIRSize(Class<?> irType) {
            return -1;
        }
    }

    // All else is as without it.

    @Override
    public GraphBuilderConfiguration updateGraphBuilderConfiguration(GraphBuilderConfiguration config, AnalysisMethod m) {
        return config;
    }

    @Override
    public boolean validateGraph(PointsToAnalysis bb, StructuredGraph graph) {
        return true;
    }

    @Override
    public void afterParsingHook(AnalysisMethod m, StructuredGraph graph) {}

    @Override
    public boolean allowAssumptions(AnalysisMethod m) {
        return false;
    }

    @Override
    public boolean recordInlinedMethods(AnalysisMethod m) {
        return false;
    }

    @Override
    public HostedProviders getHostedProviders(MultiMethod.MultiMethodKey key) {
        return null;
    }

    @Override
    public void initializeInlineBeforeAnalysisPolicy(SVMHost host, InlineBeforeAnalysisPolicyUtils utils) {}

    @Override
    public InlineBeforeAnalysisPolicy inlineBeforeAnalysisPolicy(MultiMethod.MultiMethodKey key, InlineBeforeAnalysisPolicy policy) {
        return policy;
    }

    @Override
    public Function<AnalysisType, ResolvedJavaType> getStrengthenGraphsToTargetFunction(MultiMethod.MultiMethodKey key) {
        return null;
    }
}
