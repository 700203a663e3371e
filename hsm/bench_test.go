package hsm_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

// BenchmarkUnwrap is one unwrap through a worker over SoftHSM. Beside the time
// a caller waits it shows what an operation costs each process in CPU.
func BenchmarkUnwrap(b *testing.B) {
	tok := softhsmtest.Open(b)
	kek, wrapped, dek := softKEK(b, tok, key.Auto)
	use := opens(tok, kek, wrapped, dek)
	for _, callers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(callers)+"callers", func(b *testing.B) {
			b.ReportAllocs()
			server, worker := cpuOf(b, "self"), cpuOf(b, pidOf(b, tok))
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range callers {
				n := b.N / callers
				if i < b.N%callers {
					n++
				}
				wg.Go(func() {
					for range n {
						if err := use(b.Context()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpuOf(b, "self")-server).Nanoseconds())/float64(b.N), "server-cpu-ns/op")
			b.ReportMetric(float64((cpuOf(b, pidOf(b, tok))-worker).Nanoseconds())/float64(b.N), "worker-cpu-ns/op")
		})
	}
}

// cpuOf is the CPU time that a process has used: user and system.
func cpuOf(b *testing.B, pid string) time.Duration {
	b.Helper()
	if pid == "self" {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	var ticks int64
	for _, f := range strings.Fields(after)[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
