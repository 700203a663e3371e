package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// file is the part of *os.File that the journal writes with. Sync returns when
// what was written survives the loss of power.
type file interface {
	Write([]byte) (int, error)
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// store is the file behind a journal. It is used by one goroutine at a time.
type store struct {
	path     string
	maxBytes int64
	open     func(path string) (file, error)

	file    file
	durable int64     // bytes that are known to be on the disk
	torn    int64     // bytes that were set aside at open
	broken  error     // why nothing is written; nil while all is well
	retry   time.Time // when to ask the disk again
}

func openStore(path string, maxBytes int64, open func(string) (file, error)) (*store, error) {
	s := &store{path: path, maxBytes: maxBytes, open: open}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	s.durable, s.torn, err = setAsideTornEnd(path)
	if err == nil {
		err = f.Truncate(s.durable)
	}
	if err == nil {
		err = errors.Join(f.Sync(), syncDir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.file = f
	return s, nil
}

// append makes lines durable. After an error it is not known which of them
// are in the file.
func (s *store) append(lines []byte) error {
	if s.broken != nil {
		if time.Now().Before(s.retry) {
			return errors.Join(errBroken, s.broken)
		}
		if err := s.recover(); err != nil {
			return s.fail(err)
		}
	}
	if s.maxBytes > 0 && s.durable > 0 && s.durable+int64(len(lines)) > s.maxBytes {
		if err := s.rotate(); err != nil {
			return s.fail(fmt.Errorf("rotate: %w", err))
		}
	}
	if _, err := s.file.Write(lines); err != nil {
		return s.fail(err)
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(err)
	}
	s.durable += int64(len(lines))
	return nil
}

func (s *store) fail(err error) error {
	s.broken, s.retry = err, time.Now().Add(retryAfter)
	return err
}

// recover opens the file anew and cuts off what was refused. The old
// descriptor is given up: after a failed sync the kernel may call pages clean
// that never reached the disk, and a second sync there would succeed.
func (s *store) recover() error {
	_ = s.file.Close() // it has failed already; its error says nothing new
	f, err := s.open(s.path)
	if err != nil {
		return err
	}
	s.file = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < s.durable {
		return fmt.Errorf("%s has lost records: it has %d bytes, and %d were durable", s.path, info.Size(), s.durable)
	}
	if err := f.Truncate(s.durable); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.broken = nil
	return nil
}

// rotate sets the full file aside and begins a new one. A crash in between
// leaves no file at path, and the next Open makes it.
func (s *store) rotate() error {
	aside, err := freeNumber(s.path)
	if err != nil {
		return err
	}
	if err := os.Rename(s.path, aside); err != nil {
		return err
	}
	s.durable = 0 // at path; all that follows may be repeated by recover
	if err := s.file.Close(); err != nil {
		return err
	}
	f, err := s.open(s.path)
	if err != nil {
		return err
	}
	s.file = f
	return syncDir(s.path)
}

// freeNumber returns the first of path.000001, path.000002, … after the last
// one in use.
func freeNumber(path string) (string, error) {
	used, err := filepath.Glob(path + ".[0-9][0-9][0-9][0-9][0-9][0-9]")
	if err != nil {
		return "", err
	}
	last := 0
	for _, name := range used {
		var n int
		if _, err := fmt.Sscanf(name[len(name)-6:], "%d", &n); err == nil {
			last = max(last, n)
		}
	}
	if last == 999_999 {
		return "", fmt.Errorf("all numbers for %s are in use", path)
	}
	return fmt.Sprintf("%s.%06d", path, last+1), nil
}

// close says nothing of a disk that failed before: whom it concerned was told.
func (s *store) close() error {
	err := s.file.Close()
	if s.broken == nil {
		return err
	}
	return nil
}

// diskFile is a real file whose Sync leaves out what does not matter for its
// content (fdatasync(2)).
type diskFile struct{ *os.File }

func (f diskFile) Sync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// openFile opens path for appending and keeps other processes out for as long
// as it is open.
func openFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("audit journal %s is in use by another process: %w", path, err)
		return nil, errors.Join(err, f.Close())
	}
	return diskFile{f}, nil
}

// syncDir makes the existence of path itself durable.
func syncDir(path string) (err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Sync()
}
