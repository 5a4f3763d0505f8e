package toolchain

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// containerMain prints what an image would see below the root that it is given.
const containerMain = `
#include <stdio.h>
#include "svm_container.h"
extern const char *svm_container_root;
int main(int argc, char **argv) {
    svm_container_root = argv[argc - 1];
    int contained = svm_container_initialize(SVM_CONTAINER_VERSION);
    printf("%d limit=%ld swap=%ld usage=%ld rss=%ld cpus=%d\n", contained, (long)svm_container_memory_limit_in_bytes(),
           (long)svm_container_memory_and_swap_limit_in_bytes(), (long)svm_container_memory_usage_in_bytes(),
           (long)svm_container_rss_usage_in_bytes(), svm_container_active_processor_count());
    return 0;
}
`

func TestContainerLimits(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no C compiler")
	}
	dir := t.TempDir()
	for _, folder := range []string{"c", "include"} {
		if _, err := writeGlue(folder, filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	program, source := filepath.Join(dir, "limits"), filepath.Join(dir, "main.c")
	if err := os.WriteFile(source, []byte(containerMain), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-I"+filepath.Join(dir, "include"), source,
		filepath.Join(dir, "c", "container.c"), "-o", program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const v1 = "30 20 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 20 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	const v2 = "30 20 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	const unlimited = "9223372036854771712\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing mounted", nil, "0 limit=-1 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"version 2", map[string]string{
			"proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "67108864\n", "sys/fs/cgroup/a/b/memory.swap.max": "0\n",
			"sys/fs/cgroup/a/b/memory.current": "1000\n", "sys/fs/cgroup/a/b/memory.stat": "file 5\nanon 700\n",
			"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n",
		}, "1 limit=67108864 swap=67108864 usage=1000 rss=700 cpus=1"},
		{"version 2, limit above", map[string]string{
			"proc/self/mountinfo": v2, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "33554432\n",
			"sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
		}, "1 limit=33554432 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"version 1", map[string]string{
			"proc/self/mountinfo": v1, "proc/self/cgroup": "5:cpu,cpuacct:/w\n4:memory:/w\n",
			"sys/fs/cgroup/memory/w/memory.limit_in_bytes": "134217728\n", "sys/fs/cgroup/memory/w/memory.usage_in_bytes": "4096\n",
			"sys/fs/cgroup/memory/w/memory.memsw.limit_in_bytes": unlimited, "sys/fs/cgroup/memory/w/memory.stat": "rss 12\n",
			"sys/fs/cgroup/cpu/w/cpu.cfs_quota_us": "90000\n", "sys/fs/cgroup/cpu/w/cpu.cfs_period_us": "100000\n",
		}, "1 limit=134217728 swap=-1 usage=4096 rss=12 cpus=1"},
		{"version 1, unlimited", map[string]string{
			"proc/self/mountinfo": v1, "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, "0 limit=-1 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"hybrid: version 1 has the controllers", map[string]string{
			"proc/self/mountinfo":                          "29 20 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" + v1,
			"proc/self/cgroup":                             "4:memory:/w\n0::/w\n",
			"sys/fs/cgroup/memory/w/memory.limit_in_bytes": "1048576\n", "sys/fs/cgroup/unified/w/memory.max": "2097152\n",
		}, "1 limit=1048576 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"the mount shows our group only", map[string]string{
			"proc/self/mountinfo": "30 20 0:1 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "proc/self/cgroup": "0::/docker/x\n",
			"sys/fs/cgroup/memory.max": "8388608\n",
		}, "1 limit=8388608 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"a group outside the mount", map[string]string{
			"proc/self/mountinfo": v2, "proc/self/cgroup": "0::/../../etc\n", "sys/fs/cgroup/memory.max": "8388608\n",
		}, "1 limit=8388608 swap=-1 usage=-1 rss=-1 cpus=?"},
		{"garbage", map[string]string{
			"proc/self/mountinfo": "x\n - \n" + v2, "proc/self/cgroup": ":\n0::/a\nzzz\n", "sys/fs/cgroup/a/memory.max": "-12\n",
			"sys/fs/cgroup/a/cpu.max": "0 0\n",
		}, "0 limit=-1 swap=-1 usage=-1 rss=-1 cpus=?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(program, root).Output()
			got := strings.TrimSpace(string(out))
			if prefix, any := strings.CutSuffix(c.want, "?"); any {
				if !strings.HasPrefix(got, prefix) || err != nil {
					t.Errorf("got %s, %v; want %s", got, err, c.want)
				}
			} else if got != c.want || err != nil {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}
