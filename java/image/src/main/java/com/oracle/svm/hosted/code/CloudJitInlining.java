package com.oracle.svm.hosted.code;

import com.oracle.graal.pointsto.infrastructure.WrappedJavaMethod;
import com.oracle.svm.core.classinitialization.EnsureClassInitializedNode;
import com.oracle.svm.core.nodes.SubstrateMethodCallTargetNode;
import com.oracle.svm.hosted.code.CloudJitProfile.Body;
import com.oracle.svm.hosted.code.CloudJitProfile.Receiver;
import com.oracle.svm.hosted.code.CloudJitProfile.Site;
import com.oracle.svm.hosted.meta.HostedMetaAccess;
import com.oracle.svm.hosted.meta.HostedMethod;
import com.oracle.svm.hosted.meta.HostedType;
import com.oracle.svm.hosted.meta.HostedUniverse;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Collectors;
import jdk.graal.compiler.core.common.CompilationIdentifier;
import jdk.graal.compiler.core.common.cfg.AbstractControlFlowGraph;
import jdk.graal.compiler.core.common.type.Stamp;
import jdk.graal.compiler.core.common.type.StampFactory;
import jdk.graal.compiler.core.common.type.TypeReference;
import jdk.graal.compiler.java.LambdaUtils;
import jdk.graal.compiler.nodeinfo.InputType;
import jdk.graal.compiler.nodes.BeginNode;
import jdk.graal.compiler.nodes.CallTargetNode.InvokeKind;
import jdk.graal.compiler.nodes.ControlSplitNode;
import jdk.graal.compiler.nodes.EndNode;
import jdk.graal.compiler.nodes.FixedNode;
import jdk.graal.compiler.nodes.FixedWithNextNode;
import jdk.graal.compiler.nodes.FrameState;
import jdk.graal.compiler.nodes.GraphState;
import jdk.graal.compiler.nodes.IfNode;
import jdk.graal.compiler.nodes.Invoke;
import jdk.graal.compiler.nodes.InvokeNode;
import jdk.graal.compiler.nodes.InvokeWithExceptionNode;
import jdk.graal.compiler.nodes.LogicConstantNode;
import jdk.graal.compiler.nodes.LogicNode;
import jdk.graal.compiler.nodes.LoopExitNode;
import jdk.graal.compiler.nodes.MergeNode;
import jdk.graal.compiler.nodes.NodeView;
import jdk.graal.compiler.nodes.PiNode;
import jdk.graal.compiler.nodes.ProfileData.BranchProbabilityData;
import jdk.graal.compiler.nodes.ProfileData.ProfileSource;
import jdk.graal.compiler.nodes.StructuredGraph;
import jdk.graal.compiler.nodes.UnwindNode;
import jdk.graal.compiler.nodes.ValueNode;
import jdk.graal.compiler.nodes.ValuePhiNode;
import jdk.graal.compiler.nodes.WithExceptionNode;
import jdk.graal.compiler.nodes.cfg.ControlFlowGraph;
import jdk.graal.compiler.nodes.cfg.HIRBlock;
import jdk.graal.compiler.nodes.java.ExceptionObjectNode;
import jdk.graal.compiler.nodes.java.InstanceOfNode;
import jdk.graal.compiler.nodes.java.MethodCallTargetNode;
import jdk.graal.compiler.nodes.type.StampTool;
import jdk.graal.compiler.nodes.util.GraphUtil;
import jdk.graal.compiler.phases.BasePhase;
import jdk.graal.compiler.phases.common.CanonicalizerPhase;
import jdk.graal.compiler.phases.common.inlining.InliningUtil;
import jdk.graal.compiler.phases.tiers.HighTierContext;
import jdk.vm.ci.common.JVMCIError;
import jdk.vm.ci.meta.JavaKind;
import jdk.vm.ci.meta.JavaMethod;
import jdk.vm.ci.meta.ResolvedJavaMethod;

/**
 * Inlines into hot methods what HotSpot's second compiler did, and puts direct calls before virtual ones whose receivers are
 * nearly all of one class or two. It runs when all methods are parsed and the trivial ones inlined, and takes each method as it
 * was then: so it does not matter which method is compiled first.
 */
final class CloudJitInlining extends BasePhase<HighTierContext> {
    /** The most nodes of a method with all that is inlined into it; C2 gives up at ten times as many smaller ones. */
    private static final int MAX_NODES = 8000;

    /** How often the calls of what was inlined are looked at again. HotSpot's limit of depth is 15. */
    private static final int MAX_ROUNDS = 16;

    /** How many classes of receivers get direct calls, as in C2, and the least share of the calls that each must have. */
    private static final int MAX_RECEIVERS = 2;

    private static final double LEAST_SHARE = 0.1;

    /** How often a branch must be taken for the calls behind it to be inlined: C2 compiles nothing behind one that never was. */
    private static final double LEAST_PROBABILITY = 0.001;

    /** How often it must else be taken for each call of the method. */
    private static final double LEAST_FREQUENCY = 0.1;

    /** The most nodes of what is inlined behind a test though C2 did not: hardly more than the call itself. */
    private static final int SMALL = 80;

    /**
     * What of the image's own runtime is called in every program that copies arrays or takes locks, step for step. C2 has code of its own for
     * it, so that no profile names it.
     */
    private static final Set<String> RUNTIME = Set.of("com.oracle.svm.core.graal.jdk.SubstrateArraycopySnippets", "com.oracle.svm.core.JavaMemoryUtil", "com.oracle.svm.core.UnmanagedMemoryUtil",
            "com.oracle.svm.core.monitor.MultiThreadedMonitorSupport", "com.oracle.svm.core.monitor.JavaMonitor", "com.oracle.svm.core.monitor.JavaMonitorQueuedSynchronizer",
            "com.oracle.svm.core.graal.snippets.StackOverflowCheckImpl");

    /** The most nodes of what is inlined there. */
    private static final int MAX_RUNTIME = 300;

    private final CloudJitProfile profile;
    private final Set<String> hot;
    private final Set<String> hotTargets;
    private final LongAdder methods = new LongAdder();
    private final LongAdder inlined = new LongAdder();
    private final LongAdder guarded = new LongAdder();
    private final LongAdder moved = new LongAdder();
    private final Map<HostedMethod, String> keys = new ConcurrentHashMap<>();
    private final Map<HostedMethod, String> delegates = new ConcurrentHashMap<>();
    private final Map<Inherited, Optional<Found>> heirs = new ConcurrentHashMap<>();
    private volatile Types types;

    CloudJitInlining(CloudJitProfile profile, Set<String> hot) {
        this.profile = profile;
        this.hot = hot;
        hotTargets = hot.stream().map(key -> key.replaceFirst(" ", ".").replace(" ", "")).collect(Collectors.toUnmodifiableSet());
    }

    String said() {
        return "inlined " + inlined + " calls into " + methods + " hot methods, " + guarded + " of them behind a test of the receiver's class, and moved " + moved + " loads of final fields out of loops";
    }

    @Override
    public Optional<NotApplicable> notApplicableTo(GraphState state) {
        return ALWAYS_APPLICABLE;
    }

    /** Size is the profile's matter. */
    @Override
    public boolean checkContract() {
        return false;
    }

    @Override
    protected void run(StructuredGraph graph, HighTierContext context) {
        if (!(graph.method() instanceof HostedMethod method) || method.isDeoptTarget() || !isHot(method)) {
            return;
        }
        methods.increment();
        CanonicalizerPhase canonicalizer = CanonicalizerPhase.create();
        Set<Invoke> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        for (int round = 0; round < MAX_ROUNDS; round++) {
            Likely likely = new Likely(graph);
            List<Call> calls = new ArrayList<>();
            for (Invoke i : graph.getInvokes()) {
                Call c = call(i);
                if (c != null && likely.reaches(i) && seen.add(i)) {
                    calls.add(c);
                }
            }
            calls.sort(Comparator.comparingLong(Call::count).reversed()); // the budget goes to the hottest
            boolean progress = false;
            for (Call c : calls) {
                if (c.invoke.asNode().isAlive()) {
                    progress |= visit(graph, context, c, seen);
                }
            }
            if (!progress) {
                break;
            }
            canonicalizer.apply(graph, context);
        }
        int loads = CloudJitFinals.apply(graph, context);
        moved.add(loads);
        if (removeRepeated(graph) || loads > 0) {
            canonicalizer.apply(graph, context);
        }
    }

    /** A lambda's own method has another name in each process. It is hot where the method is that it calls. */
    private boolean isHot(HostedMethod m) {
        if (isRuntime(m)) {
            return true;
        }
        String to = delegate(m);
        return to.isEmpty() ? hot.contains(key(m)) : hotTargets.contains(to);
    }

    private static boolean isRuntime(HostedMethod m) {
        return RUNTIME.contains(m.getDeclaringClass().toJavaName());
    }

    private String key(HostedMethod m) {
        return keys.computeIfAbsent(m, x -> CloudJitProfile.key(x.getDeclaringClass().toJavaName(), x.wrapped.getName(), x.getSignature().toMethodDescriptor()));
    }

    /**
     * The parts of a method that do not stand behind a branch which is hardly ever taken. Exceptions are no branches, and the end of
     * a long loop is rare only among its rounds.
     */
    private static final class Likely {
        private final ControlFlowGraph cfg;
        private final BitSet blocks = new BitSet();

        Likely(StructuredGraph graph) {
            cfg = ControlFlowGraph.newBuilder(graph).connectBlocks(true).computeLoops(true).computeFrequency(true).build();
            blocks.set(cfg.getStartBlock().getId());
            for (HIRBlock b : cfg.getBlocks()) { // a block comes after all that lead to it, but for the ends of its loop
                if (!blocks.get(b.getId())) {
                    continue;
                }
                boolean branch = b.getEndNode() instanceof ControlSplitNode && !(b.getEndNode() instanceof WithExceptionNode);
                for (int i = 0; i < b.getSuccessorCount(); i++) {
                    double probability = b.getSuccessorProbabilityAt(i);
                    if (!branch || probability >= LEAST_PROBABILITY || b.getRelativeFrequency() * probability >= LEAST_FREQUENCY) {
                        blocks.set(b.getSuccessorAt(i).getId());
                    }
                }
            }
        }

        boolean reaches(Invoke invoke) {
            HIRBlock b = cfg.blockFor(invoke.asFixedNode());
            return b != null && blocks.get(b.getId());
        }
    }

    /** A call that the profile says something of. */
    private record Call(Invoke invoke, MethodCallTargetNode target, Site site) {
        long count() {
            return site.count();
        }
    }

    /** Calls in lambdas' own methods are not in profiles: they are as hot as what is around them. */
    private static final Site IN_LAMBDA = new Site(true, Long.MAX_VALUE, List.of());

    /** Calls in methods that HotSpot did not use: they are as hot as what is around them, and only what is small is worth it. */
    private static final Site UNSEEN = new Site(false, 0, List.of());

    private Call call(Invoke invoke) {
        if (!(invoke.callTarget() instanceof MethodCallTargetNode target) || invoke.stateAfter() == null || !invoke.useForInlining()) {
            return null;
        }
        if (!(invoke.stateAfter().getMethod() instanceof HostedMethod at) || at.isUninterruptible() && !isRuntime(at)) {
            return null;
        }
        if (!delegate(at).isEmpty()) {
            return target.invokeKind().isDirect() ? new Call(invoke, target, IN_LAMBDA) : null;
        }
        Body body = profile.body(key(at));
        Site site = body == null ? UNSEEN : body.sites().get(invoke.bci());
        return site == null ? null : new Call(invoke, target, site);
    }

    private boolean visit(StructuredGraph graph, HighTierContext context, Call call, Set<Invoke> seen) {
        HostedMethod callee = (HostedMethod) call.target.targetMethod();
        int limit = call.site.inlined() ? MAX_NODES : isRuntime((HostedMethod) graph.method()) ? MAX_RUNTIME : SMALL;
        if (call.target.invokeKind().isDirect()) {
            return (call.site.inlined() || call.site == UNSEEN) && inline(graph, call.invoke, call.target, callee, limit);
        }
        boolean progress = false;
        long left = call.site.count();
        int guards = 0;
        Set<HostedMethod> met = new HashSet<>();
        for (Receiver r : call.site.receivers()) {
            if (guards == MAX_RECEIVERS || left <= 0 || r.count() < LEAST_SHARE * call.site.count()) {
                break;
            }
            Found to = find(context, callee, r);
            if (to == null) {
                continue;
            }
            if (!direct(graph, context, call, to, Math.min(0.999, Math.max(0.001, r.count() / (double) left)), limit, seen)) {
                return progress;
            }
            guards++;
            met.add(to.method);
            left -= r.count();
            progress = true;
        }
        HostedMethod[] all = callee.getImplementations();
        if (all.length > MAX_RECEIVERS) {
            return progress;
        }
        // A library may choose another class here than on HotSpot, as Netty does for its counters.
        for (HostedMethod m : all) {
            Found to = met.contains(m) || !isSmall(m) ? null : heirs(context, callee, m);
            if (to != null) {
                if (!direct(graph, context, call, to, 0.5, SMALL, seen)) {
                    break;
                }
                progress = true;
            }
        }
        return progress;
    }

    private static boolean isSmall(HostedMethod m) {
        return m.compilationInfo.getCompilationGraph() != null && m.compilationInfo.getCompilationGraph().getNodeCount() <= SMALL;
    }

    /** Puts a direct call for some receivers before a virtual call, and inlines it if it has no more nodes than a limit. */
    private boolean direct(StructuredGraph graph, HighTierContext context, Call call, Found to, double probability, int limit, Set<Invoke> seen) {
        Invoke direct = guard(graph, context, call.invoke, call.target, to, probability);
        if (direct == null) {
            return false;
        }
        guarded.increment();
        seen.add(direct);
        inline(graph, direct, (MethodCallTargetNode) direct.callTarget(), to.method, limit);
        return true;
    }

    /** What a virtual call calls for receivers of a type: that class alone, or its subclasses, too. */
    private record Found(HostedMethod method, TypeReference type) {}

    /** Returns what a virtual call calls for some receivers; null where the analysis does not know of any. */
    private Found find(HighTierContext context, HostedMethod callee, Receiver r) {
        switch (r.kind()) {
            case LAMBDA:
                for (HostedMethod m : callee.getImplementations()) {
                    if (delegate(m).equals(r.name()) && m.getDeclaringClass().isInstantiated()) {
                        return new Found(m, TypeReference.createExactTrusted(m.getDeclaringClass()));
                    }
                }
                return null;
            case HOLDER:
                for (HostedMethod m : callee.getImplementations()) {
                    if (m.getDeclaringClass().toJavaName().equals(r.name())) {
                        return heirs(context, callee, m);
                    }
                }
                return null;
            default:
                HostedType type = types(context).named.get(r.name());
                return type == null || type.isArray() || !callee.getDeclaringClass().isAssignableFrom(type) ? null : exactly(callee, type);
        }
    }

    /** Returns what a virtual call calls for receivers of one class. */
    private static Found exactly(HostedMethod callee, HostedType type) {
        ResolvedJavaMethod to = type.resolveConcreteMethod(callee, type);
        for (HostedMethod known : callee.getImplementations()) {
            if (known.equals(to)) {
                return new Found(known, TypeReference.createExactTrusted(type));
            }
        }
        return null;
    }

    /**
     * Returns the classes that have a method: all below its own where none overrides it, or else the one of them that was seen
     * most as a receiver, at all calls together.
     */
    private Found heirs(HighTierContext context, HostedMethod callee, HostedMethod method) {
        return heirs.computeIfAbsent(new Inherited(callee, method), k -> findHeirs(types(context).all, callee, method)).orElse(null);
    }

    /** A method that a virtual call may call. */
    private record Inherited(HostedMethod callee, HostedMethod method) {}

    private Optional<Found> findHeirs(List<HostedType> all, HostedMethod callee, HostedMethod method) {
        HostedType holder = method.getDeclaringClass();
        List<HostedType> below = all.stream().filter(holder::isAssignableFrom).toList();
        List<HostedType> having = below.stream().filter(t -> callee.getDeclaringClass().isAssignableFrom(t) && method.equals(t.resolveConcreteMethod(callee, t))).toList();
        if (having.size() > 1 && having.size() == below.size() && !holder.isInterface()) {
            return Optional.of(new Found(method, TypeReference.createTrustedWithoutAssumptions(holder)));
        }
        return having.stream().filter(t -> having.size() == 1 || profile.seen(t.toJavaName()) > 0).max(Comparator.comparingLong(t -> profile.seen(t.toJavaName())))
                .map(t -> exactly(callee, t));
    }

    /** The classes of the image that have objects. Of two loaders' classes of one name there is none by name. */
    private record Types(List<HostedType> all, Map<String, HostedType> named) {}

    private Types types(HighTierContext context) {
        Types known = types;
        if (known == null) {
            known = new Types(new ArrayList<>(), new HashMap<>());
            Set<String> twice = new HashSet<>();
            for (HostedType t : ((HostedUniverse) ((HostedMetaAccess) context.getMetaAccess()).getUniverse()).getTypes()) {
                if (t.isInstantiated()) {
                    known.all.add(t);
                    if (known.named.put(t.toJavaName(), t) != null) {
                        twice.add(t.toJavaName());
                    }
                }
            }
            known.named.keySet().removeAll(twice);
            types = known;
        }
        return known;
    }

    /**
     * Returns the method that a lambda's method calls, as CLASS.NAMEDESCRIPTOR: the last one that does not only put a number
     * into an object, or take it out, as internal/profile chooses it; empty if the method is not a lambda's.
     */
    private String delegate(HostedMethod method) {
        return delegates.computeIfAbsent(method, m -> {
            if (!LambdaUtils.isLambdaClassName(m.getDeclaringClass().toJavaName())) {
                return "";
            }
            ResolvedJavaMethod original = m;
            while (original instanceof WrappedJavaMethod w) {
                original = w.getWrapped();
            }
            if (original.getCode() == null) {
                return "";
            }
            String chosen = "";
            boolean boxes = true;
            for (JavaMethod to : invoked(original)) {
                boolean b = boxing(to);
                if (boxes || !b) {
                    chosen = to.getDeclaringClass().toJavaName() + '.' + to.getName() + to.getSignature().toMethodDescriptor();
                    boxes = b;
                }
            }
            return chosen;
        });
    }

    private static List<JavaMethod> invoked(ResolvedJavaMethod method) {
        try {
            return LambdaUtils.findInvokedMethods(method);
        } catch (RuntimeException | JVMCIError | LinkageError e) {
            return List.of(); // it calls what is not there
        }
    }

    private static final Set<String> BOXES = Set.of("java.lang.Boolean", "java.lang.Byte", "java.lang.Character", "java.lang.Short", "java.lang.Integer",
            "java.lang.Long", "java.lang.Float", "java.lang.Double", "java.lang.Number");

    private static boolean boxing(JavaMethod m) {
        String descriptor = m.getSignature().toMethodDescriptor();
        return BOXES.contains(m.getDeclaringClass().toJavaName())
                && (m.getName().equals("valueOf") && !descriptor.contains("String") || m.getName().endsWith("Value") && descriptor.startsWith("()"));
    }

    /** Inlines a direct call if it can be, and what it calls has no more nodes than a limit. */
    private boolean inline(StructuredGraph graph, Invoke invoke, MethodCallTargetNode target, HostedMethod callee, int limit) {
        // What may not be interrupted stays so, and nothing else becomes so.
        if (!callee.canBeInlined() || callee.isUninterruptible() != ((HostedMethod) graph.method()).isUninterruptible() || callee.isDeoptTarget() || callee.compilationInfo.getCompilationGraph() == null) {
            return false;
        }
        if (!target.isStatic() && !StampTool.isPointerNonNull(target.receiver())) {
            return false;
        }
        int nodes = callee.compilationInfo.getCompilationGraph().getNodeCount();
        if (nodes > limit || graph.getNodeCount() + nodes > MAX_NODES) {
            return false;
        }
        for (FrameState s = invoke.stateAfter(); s != null; s = s.outerFrameState()) {
            if (callee.equals(s.getMethod())) {
                return false; // into itself
            }
        }
        StructuredGraph body = callee.compilationInfo.createGraph(graph.getDebug(), graph.getOptions(), CompilationIdentifier.INVALID_COMPILATION_ID, true);
        boolean throwing = body.getNodes(UnwindNode.TYPE).isNotEmpty();
        if (throwing && !(invoke instanceof InvokeWithExceptionNode w && w.exceptionEdge() instanceof ExceptionObjectNode)) {
            return false;
        }
        InliningUtil.inlineForCanonicalization(invoke, body, false, callee, "HotSpot did", "CloudJitInlining");
        inlined.increment();
        return true;
    }

    /**
     * Puts a direct call for some receivers before a virtual call, and returns it; null where that cannot be done. Both
     * meet after the calls, and where they throw.
     */
    private static Invoke guard(StructuredGraph graph, HighTierContext context, Invoke invoke, MethodCallTargetNode target, Found to, double probability) {
        ValueNode receiver = target.receiver();
        FixedNode call = invoke.asFixedNode();
        if (!StampTool.isPointerNonNull(receiver)) {
            return null;
        }
        FixedNode place = call;
        IfNode check = interfaceCheck(target, call, to);
        if (check != null) { // what passes the test passes this, too
            receiver = ((PiNode) receiver).object();
            place = check;
        }
        if (!(place.predecessor() instanceof FixedWithNextNode before)) {
            return null;
        }
        ExceptionObjectNode thrown = null;
        if (invoke instanceof InvokeWithExceptionNode w) {
            if (!(w.exceptionEdge() instanceof ExceptionObjectNode e) || e.stateAfter() == null || w.next() instanceof LoopExitNode || !(w.next() instanceof FixedWithNextNode)) {
                return null;
            }
            thrown = e;
        } else if (!(invoke instanceof InvokeNode)) {
            return null;
        }
        LogicNode test = InstanceOfNode.create(to.type, receiver);
        if (test.isAlive() || test instanceof LogicConstantNode) {
            return null;
        }
        test = graph.addOrUniqueWithInputs(test);

        BeginNode yes = graph.add(new BeginNode());
        ValueNode[] arguments = target.arguments().toArray(new ValueNode[0]);
        arguments[0] = graph.addOrUnique(PiNode.create(receiver, StampFactory.object(to.type, true), yes));
        MethodCallTargetNode directTarget = graph.add(new SubstrateMethodCallTargetNode(InvokeKind.Special, to.method, arguments, target.returnStamp()));
        Invoke direct;
        FixedWithNextNode directEnd;
        FixedWithNextNode virtualEnd;
        if (thrown == null) {
            InvokeNode i = graph.add(new InvokeNode(directTarget, invoke.bci()));
            direct = i;
            directEnd = i;
            virtualEnd = (InvokeNode) invoke;
        } else {
            ExceptionObjectNode directThrown = graph.add(new ExceptionObjectNode(context.getMetaAccess()));
            InvokeWithExceptionNode i = graph.add(new InvokeWithExceptionNode(directTarget, directThrown, invoke.bci()));
            BeginNode begin = graph.add(new BeginNode());
            i.setNext(begin);
            direct = i;
            directEnd = begin;
            virtualEnd = (FixedWithNextNode) ((InvokeWithExceptionNode) invoke).next();
            join(graph, thrown, directThrown);
        }
        yes.setNext(direct.asFixedNode());

        FrameState state = invoke.stateAfter();
        FrameState ofVirtual = state.duplicate();
        FrameState ofDirect = state.duplicate();
        invoke.setStateAfter(ofVirtual);
        direct.setStateAfter(ofDirect);
        MergeNode after = meet(graph, directEnd, virtualEnd, state, virtualEnd.next());
        if (thrown != null) {
            virtualEnd.replaceAtUsages(after, InputType.Anchor, InputType.Guard);
        }
        if (call.getStackKind() != JavaKind.Void) {
            ofDirect.replaceAllInputs(call, direct.asNode());
            ValuePhiNode value = either(graph, after, call.stamp(NodeView.DEFAULT).unrestricted(), direct.asNode(), call);
            call.replaceAtUsages(value, user -> user != ofVirtual && user != value);
        }

        BeginNode no = graph.add(new BeginNode());
        before.setNext(graph.add(new IfNode(test, yes, no, BranchProbabilityData.create(probability, ProfileSource.PROFILED))));
        no.setNext(place);
        return direct;
    }

    /**
     * Returns the test right before a call of an interface's method that its receiver implements that, if nothing else is behind
     * the test, and the receivers that are looked for pass it; else null.
     */
    private static IfNode interfaceCheck(MethodCallTargetNode target, FixedNode call, Found to) {
        if (target.receiver() instanceof PiNode pi && call.predecessor() instanceof BeginNode begin && pi.getGuard() == begin && begin.getUsageCount() == 1
                && pi.usages().filter(user -> user != target).isEmpty() && begin.predecessor() instanceof IfNode check && check.trueSuccessor() == begin
                && check.condition() instanceof InstanceOfNode of && of.getValue() == pi.object() && of.type() != null
                && of.type().getType().isAssignableFrom(to.type.getType())) {
            return check;
        }
        return null;
    }

    /**
     * Removes checks that a class is initialized behind an equal one, which what was inlined brought along. Nothing happens at
     * the second: the class is initialized, or this thread is just about it.
     */
    private static boolean removeRepeated(StructuredGraph graph) {
        Map<ValueNode, List<EnsureClassInitializedNode>> checks = new IdentityHashMap<>();
        for (EnsureClassInitializedNode n : graph.getNodes().filter(EnsureClassInitializedNode.class)) {
            if (n.getHub().isConstant()) {
                checks.computeIfAbsent(n.getHub(), k -> new ArrayList<>()).add(n);
            }
        }
        checks.values().removeIf(same -> same.size() < 2);
        if (checks.isEmpty()) {
            return false;
        }
        ControlFlowGraph cfg = ControlFlowGraph.newBuilder(graph).connectBlocks(true).computeLoops(true).computeDominators(true).build();
        List<EnsureClassInitializedNode> repeated = new ArrayList<>();
        for (List<EnsureClassInitializedNode> same : checks.values()) {
            for (EnsureClassInitializedNode second : same) {
                // One that is removed stands itself behind one that stays.
                if (same.stream().anyMatch(first -> first != second && AbstractControlFlowGraph.dominates(cfg.blockFor(first.next()), cfg.blockFor(second)))) {
                    repeated.add(second);
                }
            }
        }
        for (EnsureClassInitializedNode n : repeated) {
            if (n.isAlive()) {
                n.replaceAtUsages(null);
                GraphUtil.unlinkAndKillExceptionEdge(n);
                GraphUtil.killWithUnusedFloatingInputs(n);
            }
        }
        return !repeated.isEmpty();
    }

    /** Lets a second exception go on where the first one does. */
    private static void join(StructuredGraph graph, ExceptionObjectNode first, ExceptionObjectNode second) {
        FrameState state = first.stateAfter();
        FrameState ofFirst = state.duplicate();
        FrameState ofSecond = state.duplicate();
        first.setStateAfter(ofFirst);
        second.setStateAfter(ofSecond);
        ofSecond.replaceAllInputs(first, second);
        MergeNode merge = meet(graph, second, first, state, first.next());
        first.replaceAtUsages(merge, InputType.Anchor, InputType.Guard);
        ValuePhiNode value = either(graph, merge, StampFactory.objectNonNull(), second, first);
        first.replaceAtUsages(value, user -> user != ofFirst && user != value);
    }

    /** Lets two paths go on together. */
    static MergeNode meet(StructuredGraph graph, FixedWithNextNode first, FixedWithNextNode second, FrameState state, FixedNode next) {
        MergeNode merge = graph.add(new MergeNode());
        for (FixedWithNextNode last : List.of(first, second)) {
            EndNode end = graph.add(new EndNode());
            last.setNext(end);
            merge.addForwardEnd(end);
        }
        merge.setStateAfter(state);
        merge.setNext(next);
        return merge;
    }

    /** Returns a value that depends on the path on which it was come to where two meet. */
    static ValuePhiNode either(StructuredGraph graph, MergeNode merge, Stamp stamp, ValueNode ofFirst, ValueNode ofSecond) {
        ValuePhiNode value = graph.addWithoutUnique(new ValuePhiNode(stamp, merge));
        value.addInput(ofFirst);
        value.addInput(ofSecond);
        return value;
    }
}
