package softhsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initTimeout is for a call that takes milliseconds: were a prompt to change
// its words, we would wait for it for ever.
const initTimeout = 30 * time.Second

// initToken runs softhsm2-util on a terminal of its own and types the PINs.
// The tool also takes them as arguments, where every user of the machine can
// read them; it reads them from nothing but a terminal otherwise.
func (f folder) initToken(ctx context.Context) error {
	soPIN, err := os.ReadFile(f.file("so-pin"))
	if err != nil {
		return err
	}
	defer clear(soPIN)
	pin, err := os.ReadFile(f.file("pin"))
	if err != nil {
		return err
	}
	defer clear(pin)

	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, util, "--init-token", "--free", "--label", Label)
	cmd.Env = append(os.Environ(), f.env()...)
	said, err := onTerminal(cmd, map[string][]byte{"SO PIN: ": soPIN, "user PIN: ": pin})
	if err != nil {
		return fmt.Errorf("%s --init-token: %w: %s", util, err, strings.TrimSpace(said))
	}
	return nil
}

// onTerminal runs cmd on a new pseudo-terminal and answers each prompt that
// ends in one of the keys. It returns what cmd printed, which repeats no
// answer: the tool turns the terminal's echo off before it asks.
func onTerminal(cmd *exec.Cmd, answers map[string][]byte) (said string, err error) {
	master, slave, err := openPTY()
	if err != nil {
		return "", fmt.Errorf("make a terminal: %w", err)
	}
	defer func() { err = errors.Join(err, master.Close()) }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	if closeErr := slave.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	said, err = converse(master, answers)
	return said, errors.Join(err, cmd.Wait())
}

// converse ends when the other side closes the terminal, which Linux reports
// as EIO.
func converse(terminal io.ReadWriter, answers map[string][]byte) (string, error) {
	var said, line bytes.Buffer
	buf := make([]byte, 1024)
	for {
		n, err := terminal.Read(buf)
		said.Write(buf[:n])
		line.Write(buf[:n])
		for prompt, answer := range answers {
			if bytes.HasSuffix(line.Bytes(), []byte(prompt)) {
				line.Reset()
				if _, err := terminal.Write(answer); err != nil {
					return said.String(), err
				}
			}
		}
		switch {
		case errors.Is(err, syscall.EIO), errors.Is(err, io.EOF):
			return said.String(), nil
		case err != nil:
			return said.String(), err
		}
	}
}

// openPTY returns both ends of a new pseudo-terminal.
func openPTY() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	slave, err = openSlave(master)
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

func openSlave(master *os.File) (*os.File, error) {
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
}
