package cases;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Many threads, platform and virtual, reflecting at once. */
final class Storm implements Case {
    public static class Task {
        private int count;

        public synchronized int add(int n) {
            return count += n;
        }
    }

    @Override
    public void run() throws Exception {
        Class<?> type = Class.forName("cases.Storm$" + "Task".trim());
        Object task = type.getConstructor().newInstance();
        Callable<Integer> work = () -> {
            int last = 0;
            for (int i = 0; i < 200; i++) {
                for (Method method : type.getMethods()) {
                    if (method.getName().equals("add")) {
                        last = (int) method.invoke(task, 1);
                    }
                }
                try {
                    Class.forName("none.Such" + i % 10);
                } catch (ClassNotFoundException e) {
                    last++;
                }
            }
            return last;
        };
        try (ExecutorService platform = Executors.newFixedThreadPool(8); ExecutorService virtual = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Integer>> all = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                all.add(platform.submit(work));
                all.add(virtual.submit(work));
            }
            for (Future<Integer> future : all) {
                future.get();
            }
        }
        System.out.println(type.getMethod("add", int.class).invoke(task, 0));
    }
}
