package process

import (
	"encoding/binary"
	"fmt"
	"strings"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// allowed are the system calls of ordinary programs: what containers are given by default
// (moby's profiles/seccomp), without what needs a capability that no worker has, and without
// keyrings, io_uring, ptrace, what makes or enters namespaces, and io_setup and its like, whose events are
// counted for the whole machine (fs.aio-max-nr): one worker could take them all. Names that an architecture
// does not have are left out there.
const allowed = `
_llseek _newselect accept accept4 access alarm arch_prctl bind brk
cachestat capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep close close_range
connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group
faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat
fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area
getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr
lstat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat
mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend
mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll pread64 preadv preadv2 prlimit64 process_mrelease pselect6
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmsg
remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop send
sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid
setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
signalfd4 socketcall socketpair splice stat statfs statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate
umask uname unlink unlinkat uretprobe utime utimensat utimes vfork vmsplice wait4 waitid waitpid write writev`

// namespaceFlags are the CLONE_NEW... flags of clone(2).
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// allBut allows a call whose argument, an int for the kernel, is none of the values, which are
// ascending. The kernel looks at the low half only, so a value with anything in the high half is
// refused, but for what the extension of a negative int gives.
func allBut(name string, argument uint32, values ...uint64) []seccomp.NameWithConditions {
	var out []seccomp.NameWithConditions
	between := func(c ...seccomp.Condition) {
		out = append(out, seccomp.NameWithConditions{Name: name, Conditions: c})
	}
	above := uint64(0)
	for i, v := range values {
		below := seccomp.Condition{Argument: argument, Operation: seccomp.LessThan, Value: v}
		if i == 0 {
			between(below)
		} else {
			between(seccomp.Condition{Argument: argument, Operation: seccomp.GreaterThan, Value: above}, below)
		}
		above = v
	}
	between(seccomp.Condition{Argument: argument, Operation: seccomp.GreaterThan, Value: above},
		seccomp.Condition{Argument: argument, Operation: seccomp.LessThan, Value: 1 << 32})
	between(seccomp.Condition{Argument: argument, Operation: seccomp.GreaterOrEqual, Value: 0xffffffff80000000})
	return out
}

// filter assembles the program that every worker's system calls pass. A call that is not allowed
// fails with ENOSYS, so that libraries fall back as on an older kernel.
// Without watches, inotify is not allowed either: where workers see the host's own files.
func filter(noWatches bool) ([]byte, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("assemble system call filter: %w", err)
	}
	plain := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for name := range strings.FieldsSeq(allowed) {
		if noWatches && strings.HasPrefix(name, "inotify_") {
			continue
		}
		if _, ok := info.SyscallNames[name]; ok {
			plain.Names = append(plain.Names, name)
		}
	}
	is := func(name string, op seccomp.Operation, values ...uint64) []seccomp.NameWithConditions {
		var out []seccomp.NameWithConditions
		for _, v := range values {
			out = append(out, seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: op, Value: v}}})
		}
		return out
	}
	conditional := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for _, c := range [][]seccomp.NameWithConditions{
		// clone3 hides its flags in memory, so it is refused and libraries use clone.
		{{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsNotSet, Value: namespaceFlags}}}},
		is("socket", seccomp.Equal, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK),
		is("personality", seccomp.Equal, 0, 8, 0x20000, 0x20008, 0xffffffff),
		// A worker must not outlive its server: PR_SET_PDEATHSIG is 1, the least option.
		allBut("prctl", 0, unix.PR_SET_PDEATHSIG),
		// Typing into a terminal.
		allBut("ioctl", 1, unix.TIOCSTI, unix.TIOCLINUX),
	} {
		conditional.NamesWithCondtions = append(conditional.NamesWithCondtions, c...)
	}
	// The plain ones come first: after a condition that fails, the library compares the argument,
	// and not the call's number, with the numbers that come later. What comes later than a
	// condition are only calls whose own conditions then look at the same arguments.
	policy := seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{plain, conditional}}
	program, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble system call filter: %w", err)
	}
	program[len(program)-1] = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble system call filter: %w", err)
	}
	var out []byte // struct sock_filter, one after the other
	for _, in := range raw {
		out = binary.NativeEndian.AppendUint16(out, in.Op)
		out = append(out, in.Jt, in.Jf)
		out = binary.NativeEndian.AppendUint32(out, in.K)
	}
	return out, nil
}
