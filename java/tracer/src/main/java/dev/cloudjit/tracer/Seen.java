package dev.cloudjit.tracer;

import java.lang.reflect.Member;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What of a class was recorded already: the fast path of every hook. It hangs on the class
 * itself and so goes when the class goes.
 */
final class Seen {
    static final int MEMBERS = 1;
    static final int ARRAY = 2;
    static final int UNSAFE = 4;
    static final int SERIALIZABLE = 8;
    static final int CREATED = 16;
    static final int DEFAULTS = 32;

    private static final ClassValue<Seen> OF = new ClassValue<>() {
        @Override
        protected Seen computeValue(Class<?> type) {
            return new Seen();
        }
    };

    private volatile int bits;
    private final Set<Member> members = ConcurrentHashMap.newKeySet(4);

    static Seen of(Class<?> c) {
        return OF.get(c);
    }

    boolean has(int bit) {
        return (bits & bit) != 0;
    }

    /** A lost update only means that the same is recorded once more. */
    void set(int bit) {
        bits |= bit;
    }

    boolean has(Member member) {
        return members.contains(member);
    }

    void add(Member member) {
        members.add(member);
    }
}
