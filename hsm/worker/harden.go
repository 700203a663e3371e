package worker

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Harden makes it hard to get at this process's memory from outside, and for
// the module to gain anything: no core dumps, no ptrace by others of the same
// user, no new privileges, no swapping where the limit allows. Call it first in
// main. What could not be had is in the error; the worker works all the same.
func Harden() error {
	return errors.Join(
		because("not dumpable", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)),
		because("no core dumps", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})),
		because("no new privileges", noNewPrivileges()),
		because("locked memory", lockMemory()),
	)
}

func because(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// noNewPrivileges is a property of each thread, and the Go runtime has started
// some already. A seccomp filter that allows everything brings the others
// along: installing one with TSYNC copies the calling thread's mark to them.
func noNewPrivileges() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
	program := unix.SockFprog{Len: 1, Filter: &allow}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	switch {
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d kept a filter of its own", thread)
	}
	return nil
}

// lockMemory keeps keys and the PIN out of swap. It asks for it only without a
// limit: with one, some later allocation would fail, in the middle of a call.
// Pages are locked as they are touched, since the Go runtime reserves far more
// than it uses.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	if limit.Cur != unix.RLIM_INFINITY {
		return errors.New("not with a limit on locked memory (LimitMEMLOCK=infinity)")
	}
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}
