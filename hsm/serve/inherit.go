package serve

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// Inherited returns what the server has left this process: one pipe to read
// requests from and one to write answers to. Reading blocks a thread rather
// than a poller, so that a request wakes that thread and nothing else.
func Inherited() (io.ReadWriter, error) {
	in, err := pipeEnd(frame.RequestsFD)
	if err != nil {
		return nil, err
	}
	out, err := pipeEnd(frame.AnswersFD)
	if err != nil {
		return nil, err
	}
	return ends{in, out}, nil
}

type ends struct {
	io.Reader
	io.Writer
}

var errNoPipe = errors.New("not a pipe")

func pipeEnd(fd int) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, errNoPipe
	}
	unix.CloseOnExec(fd) // or what the module starts would keep it open
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "server"), nil
}
