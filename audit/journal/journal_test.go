package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
)

func event(id string) audit.Event { return audit.Event{ID: id, Outcome: audit.Success} }

func open(t testing.TB, path string, o Options) *Journal {
	t.Helper()
	j, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return j
}

// ids returns the identifiers of the events in a file, and fails on a line that
// is none.
func ids(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		var ev audit.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%s has the line %q: %v", path, line, err)
		}
		out = append(out, ev.ID)
	}
	return out
}

func TestRecordsOutliveTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for _, id := range []string{"one", "two"} {
		j := open(t, path, Options{})
		if err := j.Record(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := j.Record(t.Context(), event("late")); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Record after Close answers %v, want an unavailable fault", err)
		}
	}
	if got := ids(t, path); fmt.Sprint(got) != "[one two]" {
		t.Errorf("the file holds %v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode(), err)
	}
}

func TestConcurrentRecordsAllArrive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	var syncs, records int
	j := open(t, path, Options{OnSync: func(n int, _ time.Duration, err error) {
		syncs++
		records += n
		if err != nil {
			t.Errorf("sync: %v", err)
		}
	}})
	const callers, each = 32, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := j.Record(t.Context(), event(fmt.Sprintf("%d.%d", c, i))); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range ids(t, path) {
		seen[id] = true
	}
	if len(seen) != callers*each || records != callers*each {
		t.Errorf("%d different records in the file, %d reported, want %d", len(seen), records, callers*each)
	}
	if syncs > records/2 {
		t.Errorf("%d syncs for %d records of %d callers: they do not share", syncs, records, callers)
	}
}

func TestAnotherProcessIsKeptOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	open(t, path, Options{})
	// flock(2) tells open files apart, not processes.
	if j, err := Open(path, Options{}); err == nil {
		t.Error("a second Open succeeded")
		_ = j.Close()
	}
}

func TestTornEndIsSetAside(t *testing.T) {
	good := `{"id":"one"}` + "\n" + `{"id":"two"}` + "\n"
	long := strings.Repeat(`{"id":"`+strings.Repeat("x", 1000)+`"}`+"\n", 3000)
	for _, tc := range []struct{ name, kept, torn string }{
		{"nothing torn", good, ""},
		{"a line without its end", good, `{"id":"thr`},
		{"only the line break missing", good, `{"id":"three"}`},
		{"a hole of zeros before a good line", good, strings.Repeat("\x00", 50) + "\n" + `{"id":"three"}` + "\n"},
		{"nothing but a torn line", "", `{"id":`},
		{"a torn end of a long file", long, `{"id":"thr`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(tc.kept+tc.torn), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, path, Options{})
			if j.TornBytes() != int64(len(tc.torn)) {
				t.Errorf("TornBytes is %d, want %d", j.TornBytes(), len(tc.torn))
			}
			if err := j.Record(t.Context(), event("next")); err != nil {
				t.Fatal(err)
			}
			if got := ids(t, path); got[len(got)-1] != "next" || len(got) != strings.Count(tc.kept, "\n")+1 {
				t.Errorf("the file ends in %q after %d lines", got[len(got)-1], len(got))
			}
			aside, err := os.ReadFile(path + ".torn")
			if string(aside) != tc.torn || (err != nil) != (tc.torn == "") {
				t.Errorf("set aside %q (%v), want %q", aside, err, tc.torn)
			}
		})
	}
}

func TestFullFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	line, err := event("000").JSON()
	if err != nil {
		t.Fatal(err)
	}
	j := open(t, path, Options{MaxBytes: int64(2*len(line) + 3)}) // two lines fit
	for i := range 7 {
		if err := j.Record(t.Context(), event(fmt.Sprintf("%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, name := range []string{"journal.000001", "journal.000002", "journal.000003", "journal"} {
		all = append(all, ids(t, filepath.Join(dir, name))...)
	}
	if fmt.Sprint(all) != "[000 001 002 003 004 005 006]" {
		t.Errorf("the files hold %v", all)
	}
}

// fake is a disk whose syncs wait and fail as told.
type fake struct {
	mu      sync.Mutex
	content []byte
	synced  int // bytes that survive
	gate    chan struct{}
	fail    error
	opened  int
}

type fakeFile struct{ *fake }

func (f *fake) open(string) (file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return fakeFile{f}, nil
}

func (f fakeFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = append(f.content, b...)
	return len(b), nil
}

func (f fakeFile) Stat() (os.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fakeInfo{size: int64(len(f.content))}, nil
}

type fakeInfo struct {
	os.FileInfo
	size int64
}

func (i fakeInfo) Size() int64 { return i.size }

func (f fakeFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = f.content[:size]
	return nil
}

func (f fakeFile) Sync() error {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.synced = len(f.content)
	}
	return f.fail
}

func (f fakeFile) Close() error { return nil }

func (f *fake) setFail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fake) survives(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Contains(f.content[:f.synced], []byte(`"`+id+`"`))
}

func (f *fake) holds(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Contains(f.content, []byte(`"`+id+`"`))
}

func startOn(f *fake, o Options) *Journal {
	first, _ := f.open("")
	return start(&store{path: "journal", open: f.open, file: first}, o)
}

func TestRecordWaitsForTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fake{gate: make(chan struct{})}
		var counts []int
		j := startOn(disk, Options{OnSync: func(n int, _ time.Duration, _ error) { counts = append(counts, n) }})
		var answers sync.WaitGroup
		var answered int
		var mu sync.Mutex
		record := func(id string) {
			answers.Go(func() {
				if err := j.Record(t.Context(), event(id)); err != nil {
					t.Errorf("record %s: %v", id, err)
				}
				if !disk.survives(id) {
					t.Errorf("Record answered before %s was durable", id)
				}
				mu.Lock()
				defer mu.Unlock()
				answered++
			})
		}
		record("first")
		synctest.Wait() // the writer is in its sync
		for i := range 99 {
			record(fmt.Sprintf("follower %d", i))
		}
		synctest.Wait()
		if answered != 0 {
			t.Errorf("%d records answered while the disk was busy", answered)
		}
		close(disk.gate)
		answers.Wait()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if fmt.Sprint(counts) != "[1 99]" {
			t.Errorf("syncs made %v records durable, want [1 99]", counts)
		}
	})
}

func TestRecordHonoursItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fake{gate: make(chan struct{})}
		j := startOn(disk, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := j.Record(ctx, event("slow"))
		if !errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Record on a disk that hangs answers %v", err)
		}
		close(disk.gate)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A disk that hangs does not fill the memory: beyond some megabytes records are
// refused at once.
func TestWaitingRecordsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fake{gate: make(chan struct{})}
		j := startOn(disk, Options{})
		large := event(strings.Repeat("x", maxBatchBytes/2+1)) // one fills a batch
		var waiting sync.WaitGroup
		for range 1 + maxWaiting { // one is being written
			waiting.Go(func() {
				if err := j.Record(t.Context(), large); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if err := j.Record(t.Context(), large); !errors.Is(err, errFull) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("one too many: %v", err)
		}
		close(disk.gate)
		waiting.Wait()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Whoever was refused stays refused, nothing is accepted while the disk fails,
// and a refused line does not come back between good ones.
func TestFailingDiskRefusesUntilItIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fake{}
		j := startOn(disk, Options{})
		record := func(id string) error { return j.Record(t.Context(), event(id)) }
		if err := record("before"); err != nil {
			t.Fatal(err)
		}
		ill := errors.New("no space left")
		disk.setFail(ill)
		if err := record("lost"); !errors.Is(err, ill) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Record on a failing disk answers %v", err)
		}
		disk.setFail(nil)
		if err := record("too soon"); !errors.Is(err, errBroken) {
			t.Errorf("Record right after a failure answers %v, want errBroken", err)
		}
		time.Sleep(retryAfter)
		if err := record("after"); err != nil {
			t.Fatal(err)
		}
		if !disk.survives("before") || !disk.survives("after") || disk.holds("lost") || disk.holds("too soon") {
			t.Errorf("the file holds %q", disk.content)
		}
		if disk.opened != 2 {
			t.Errorf("the file was opened %d times; a descriptor whose sync failed must not be used again", disk.opened)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestShrunkenFileStaysClosed(t *testing.T) {
	s := &store{path: "journal", durable: 100, broken: errors.New("ill"), open: new(fake).open}
	s.file, _ = s.open("")
	if err := s.append([]byte("{}\n")); err == nil || !strings.Contains(err.Error(), "lost records") {
		t.Errorf("append to a file that lost records answers %v", err)
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var syncs int
			j := open(b, filepath.Join(b.TempDir(), "journal"), Options{
				OnSync: func(int, time.Duration, error) { syncs++ },
			})
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range work {
						if err := j.Record(b.Context(), event("x")); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(syncs)/float64(b.N), "syncs/op")
		})
	}
}
