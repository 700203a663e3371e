package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// setAsideTornEnd finds the end of the last good line of the file at path. What
// follows is copied to path.torn before anybody cuts it off: it was promised to
// nobody, but an audit log throws nothing away.
//
// A crash can leave a line without its end, and on some file systems a hole of
// zeros with good lines behind it. Both lie in the last batch, so that much of
// the file is looked at.
func setAsideTornEnd(path string) (good, torn int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	size := info.Size()
	// Twice as much as a batch, so that the window holds a whole one and the
	// end of the line before it.
	from := max(0, size-2*maxBatchBytes)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return 0, 0, err
	}
	start := 0
	if from > 0 {
		start = bytes.IndexByte(tail, '\n') + 1 // the window begins inside a line
	}
	end := start + goodLines(tail[start:])
	good, torn = from+int64(end), int64(len(tail)-end)
	if torn > 0 {
		err = appendTo(path+".torn", tail[end:])
	}
	return good, torn, err
}

// goodLines returns how many bytes of b are whole lines of JSON.
func goodLines(b []byte) int {
	n := 0
	for {
		length := bytes.IndexByte(b[n:], '\n')
		if length < 0 || !json.Valid(b[n:n+length]) {
			return n
		}
		n += length + 1
	}
}

func appendTo(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}
