package work;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.lang.ref.Reference;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Allocates so many megabytes, and hashes for so many milliseconds; or, where the event says how many
 * percent of the time it is busy, for those, and waits for the rest, as others wait for a network.
 */
public class Work implements RequestHandler<Map<String, Integer>, Map<String, Object>> {
    private static final int PAGE = 4096;
    private static final int BLOCK = 1 << 20;

    @Override
    public Map<String, Object> handleRequest(Map<String, Integer> event, Context context) {
        int megabytes = event.getOrDefault("megabytes", 0);
        int milliseconds = event.getOrDefault("milliseconds", 0);
        int busy = event.getOrDefault("busy", 100);
        long begin = System.nanoTime();
        byte[][] memory = allocate(megabytes);
        String digest = hashUntil(begin + milliseconds * busy * 10_000L);
        sleepUntil(begin + milliseconds * 1_000_000L);
        Reference.reachabilityFence(memory); // it is held to the end
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("megabytes", memory.length);
        answer.put("milliseconds", milliseconds);
        answer.put("digest", digest);
        return answer;
    }

    /** Touches every page, so that the memory is really taken. */
    private static byte[][] allocate(int megabytes) {
        byte[][] blocks = new byte[megabytes][];
        for (int i = 0; i < megabytes; i++) {
            blocks[i] = new byte[BLOCK];
            for (int at = 0; at < BLOCK; at += PAGE) {
                blocks[i][at] = (byte) (i + at);
            }
        }
        return blocks;
    }

    private static void sleepUntil(long end) {
        try {
            for (long left; (left = end - System.nanoTime()) > 0; ) {
                Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Hashes at least once, and returns the first digest, which does not depend on the time. */
    private static String hashUntil(long end) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
        byte[] state = new byte[1024];
        String first = null;
        do {
            byte[] hash = digest.digest(state);
            if (first == null) {
                first = HexFormat.of().formatHex(hash);
            }
            System.arraycopy(hash, 0, state, 0, hash.length);
        } while (System.nanoTime() < end);
        return first;
    }
}
