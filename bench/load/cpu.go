package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, which Linux fixes at 100.
const tick = time.Second / 100

// cpu is the time that processes spent, by what they are.
type cpu struct{ server, worker, postgres time.Duration }

func (c cpu) minus(o cpu) cpu {
	return cpu{c.server - o.server, c.worker - o.worker, c.postgres - o.postgres}
}

func (c cpu) total() time.Duration { return c.server + c.worker + c.postgres }

// cpuOf adds up the processes roots and all their descendants.
func cpuOf(roots []int) (cpu, error) {
	procs, err := allProcesses()
	if err != nil {
		return cpu{}, err
	}
	var sum cpu
	for _, p := range procs {
		if !p.below(roots, procs) {
			continue
		}
		switch {
		case strings.HasPrefix(p.name, "postgres"):
			sum.postgres += p.spent
		case strings.HasPrefix(p.name, "strongroom-hsm"):
			sum.worker += p.spent
		default:
			sum.server += p.spent
		}
	}
	if sum.total() == 0 {
		return cpu{}, fmt.Errorf("no processes %v", roots)
	}
	return sum, nil
}

type process struct {
	pid, parent int
	name        string
	spent       time.Duration
}

func (p process) below(roots []int, all map[int]process) bool {
	for !slices.Contains(roots, p.pid) {
		next, ok := all[p.parent]
		if !ok {
			return false
		}
		p = next
	}
	return true
}

func allProcesses() (map[int]process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(map[int]process, len(stats))
	for _, path := range stats {
		if b, err := os.ReadFile(path); err == nil { // else it ended meanwhile
			if p, ok := parseStat(string(b)); ok {
				all[p.pid] = p
			}
		}
	}
	return all, nil
}

// parseStat reads proc_pid_stat(5): pid (name) state ppid … utime stime cutime
// cstime, where the name may hold anything.
func parseStat(s string) (process, bool) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	rest := strings.Fields(s[end+1:])
	if len(rest) < 15 {
		return process{}, false
	}
	p := process{name: s[open+1 : end]}
	p.pid, _ = strconv.Atoi(strings.TrimSpace(s[:open]))
	p.parent, _ = strconv.Atoi(rest[1])
	for _, field := range rest[11:15] { // own user and system time, and that of children that ended
		n, _ := strconv.ParseInt(field, 10, 64)
		p.spent += time.Duration(n) * tick
	}
	return p, p.pid != 0
}
