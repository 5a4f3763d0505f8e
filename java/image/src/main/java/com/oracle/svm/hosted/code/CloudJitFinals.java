package com.oracle.svm.hosted.code;

import com.oracle.svm.hosted.meta.HostedField;
import jdk.graal.compiler.core.common.cfg.CFGLoop;
import jdk.graal.compiler.core.common.type.StampFactory;
import jdk.graal.compiler.core.common.type.StampPair;
import jdk.graal.compiler.core.common.type.TypeReference;
import jdk.graal.compiler.java.LambdaUtils;
import jdk.graal.compiler.nodes.AbstractBeginNode;
import jdk.graal.compiler.nodes.BeginNode;
import jdk.graal.compiler.nodes.ConstantNode;
import jdk.graal.compiler.nodes.EndNode;
import jdk.graal.compiler.nodes.FixedNode;
import jdk.graal.compiler.nodes.FixedWithNextNode;
import jdk.graal.compiler.nodes.FrameState;
import jdk.graal.compiler.nodes.IfNode;
import jdk.graal.compiler.nodes.InvokeNode;
import jdk.graal.compiler.nodes.InvokeWithExceptionNode;
import jdk.graal.compiler.nodes.LogicConstantNode;
import jdk.graal.compiler.nodes.LogicNode;
import jdk.graal.compiler.nodes.LoopBeginNode;
import jdk.graal.compiler.nodes.MergeNode;
import jdk.graal.compiler.nodes.NodeView;
import jdk.graal.compiler.nodes.ParameterNode;
import jdk.graal.compiler.nodes.PhiNode;
import jdk.graal.compiler.nodes.PiNode;
import jdk.graal.compiler.nodes.ProfileData.BranchProbabilityData;
import jdk.graal.compiler.nodes.StructuredGraph;
import jdk.graal.compiler.nodes.ValueNode;
import jdk.graal.compiler.nodes.ValuePhiNode;
import jdk.graal.compiler.nodes.cfg.ControlFlowGraph;
import jdk.graal.compiler.nodes.cfg.HIRBlock;
import jdk.graal.compiler.nodes.java.InstanceOfNode;
import jdk.graal.compiler.nodes.java.LoadFieldNode;
import jdk.graal.compiler.nodes.loop.Loop;
import jdk.graal.compiler.nodes.loop.LoopsData;
import jdk.graal.compiler.nodes.util.GraphUtil;
import jdk.graal.compiler.phases.tiers.HighTierContext;

/**
 * Loads final fields of lambdas, inner classes and streams once before a loop, and not in each round: what they have captured, and what comes after
 * them in a stream. C2 needs no such thing: it leaves out the virtual calls that are hardly ever taken, and then nothing in the
 * loop can change a field. Here these calls stay.
 *
 * <p>Only fields are moved that have their value before anybody can see the object: compilers set what is captured before the constructor of the
 * class above, and the constructors of streams hand themselves to nobody. A final field of another class may be read by a thread that its constructor started, before it is
 * set. Fields that reflection, JNI, a {@code VarHandle} or {@code Unsafe} may write are left alone, too, and so are objects that the method makes itself, and
 * constructors.
 */
final class CloudJitFinals {
    /** The most loads that are moved for one method. */
    private static final int MAX_LOADS = 32;

    private CloudJitFinals() {}

    /** Returns how many loads were moved. */
    static int apply(StructuredGraph graph, HighTierContext context) {
        if (!graph.hasLoops() || graph.method().isConstructor()) {
            return 0;
        }
        int moved = 0;
        // A load that was moved may be the object of another one, which is moved in the next round.
        for (int before = -1; before < moved && moved < MAX_LOADS;) {
            before = moved;
            moved += moveAll(graph, context.getLoopsDataProvider().getLoopsData(graph), MAX_LOADS - moved);
        }
        return moved;
    }

    /** Moves so many loads at most, and returns how many. What was moved is in none of the blocks any more. */
    private static int moveAll(StructuredGraph graph, LoopsData loops, int most) {
        int moved = 0;
        for (LoadFieldNode load : graph.getNodes().filter(LoadFieldNode.class).snapshot()) {
            if (moved == most) {
                break;
            }
            HIRBlock at = loops.getCFG().blockFor(load);
            if (at == null || at.getLoop() == null || !isSteady(load)) {
                continue;
            }
            ValueNode object = load.object();
            while (object instanceof PiNode pi) {
                object = pi.object();
            }
            for (Loop loop : loops.outerFirst()) {
                if (isIn(at, loop) && isFrom(loops.getCFG(), loop, object) && move(graph, loop, load, object)) {
                    moved++;
                    break;
                }
            }
        }
        return moved;
    }

    private static boolean isSteady(LoadFieldNode load) {
        return load.field() instanceof HostedField f && f.isFinal() && !f.isStatic() && !f.isVolatile() && !load.ordersMemoryAccesses() && !f.wrapped.isUnsafeAccessed()
                && (f.isSynthetic() || LambdaUtils.isLambdaClassName(f.getDeclaringClass().toJavaName()) || f.getDeclaringClass().toJavaName().startsWith("java.util.stream."));
    }

    /** Reports whether an object is there before a loop, and was not made by this method. */
    private static boolean isFrom(ControlFlowGraph cfg, Loop loop, ValueNode object) {
        if (object instanceof ParameterNode || object instanceof ConstantNode) {
            return true;
        }
        FixedNode made;
        if (object instanceof ValuePhiNode phi) {
            made = phi.merge();
        } else if (object instanceof LoadFieldNode || object instanceof InvokeNode || object instanceof InvokeWithExceptionNode) {
            made = (FixedNode) object;
        } else {
            return false;
        }
        // What was moved since the loops were looked at is in no block yet.
        HIRBlock block = cfg.getNodeToBlock().isNew(made) ? null : cfg.blockFor(made);
        return block != null && !isIn(block, loop);
    }

    private static boolean isIn(HIRBlock block, Loop loop) {
        for (CFGLoop<HIRBlock> l = block.getLoop(); l != null; l = l.getParent()) {
            if (l == loop.getCFGLoop()) {
                return true;
            }
        }
        return false;
    }

    /**
     * Loads the field before the loop, if the object has it: the loop may be about to test that. In the loop, where the load
     * was, the object has it.
     */
    private static boolean move(StructuredGraph graph, Loop loop, LoadFieldNode load, ValueNode object) {
        EndNode entry = loop.loopBegin().forwardEnd();
        if (!(entry.predecessor() instanceof FixedWithNextNode before) || loop.loopBegin().stateAfter() == null) {
            return false;
        }
        TypeReference declaring = TypeReference.createTrustedWithoutAssumptions(load.field().getDeclaringClass());
        LogicNode has = InstanceOfNode.create(declaring, object);
        if (has instanceof LogicConstantNode constant && !constant.getValue()) {
            return false;
        }
        StampPair stamp = StampPair.createSingle(load.stamp(NodeView.DEFAULT));
        ValueNode value;
        if (has instanceof LogicConstantNode) {
            LoadFieldNode early = graph.add(LoadFieldNode.createOverrideStamp(stamp, object, load.field()));
            graph.addBeforeFixed(entry, early);
            value = early;
        } else {
            BeginNode yes = graph.add(new BeginNode());
            BeginNode no = graph.add(new BeginNode());
            ValueNode holder = graph.addOrUnique(PiNode.create(object, StampFactory.object(declaring, true), yes));
            LoadFieldNode early = graph.add(LoadFieldNode.createOverrideStamp(stamp, holder, load.field()));
            before.setNext(graph.add(new IfNode(graph.addOrUniqueWithInputs(has), yes, no, BranchProbabilityData.unknown())));
            yes.setNext(early);
            MergeNode merge = CloudJitInlining.meet(graph, early, no, before(loop.loopBegin()), entry);
            value = CloudJitInlining.either(graph, merge, load.stamp(NodeView.DEFAULT).unrestricted(), early, graph.unique(ConstantNode.defaultForKind(load.getStackKind())));
        }
        ValueNode here = graph.addOrUnique(PiNode.create(value, load.stamp(NodeView.DEFAULT), AbstractBeginNode.prevBegin(load)));
        load.replaceAtUsages(here);
        GraphUtil.unlinkFixedNode(load);
        load.safeDelete();
        return true;
    }

    /** Returns the state of the program before a loop's first round. */
    private static FrameState before(LoopBeginNode loop) {
        FrameState state = loop.stateAfter().duplicate();
        for (PhiNode phi : loop.phis()) {
            state.replaceAllInputs(phi, phi.valueAt(loop.forwardEnd()));
        }
        return state;
    }
}
