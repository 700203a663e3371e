package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// PINSource says where the user PIN is. Without File and Env it is the systemd
// credential hsm-pin (LoadCredentialEncrypted=hsm-pin).
type PINSource struct {
	File string // the owner's alone
	Env  string // name of a variable, for development; unset once read
}

const (
	maxPIN     = 255 // CloudHSM and Azure want user:password
	credential = "hsm-pin"
)

// read returns the PIN, which the caller wipes. No error quotes it.
func (p PINSource) read() (sensitive.Bytes, error) {
	var pin []byte
	var err error
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	switch {
	case p.File != "":
		pin, err = readPINFile(p.File, dir)
	case p.Env != "":
		pin = []byte(os.Getenv(p.Env))
		err = os.Unsetenv(p.Env)
	case dir != "":
		pin, err = readPINFile(filepath.Join(dir, credential), dir)
	default:
		return sensitive.Bytes{}, errors.New("no PIN: neither a file nor a systemd credential " + credential)
	}
	if err != nil {
		clear(pin)
		return sensitive.Bytes{}, fmt.Errorf("read PIN: %w", err)
	}
	trimmed := bytes.TrimSuffix(pin, []byte("\n"))
	if len(trimmed) == 0 || len(trimmed) > maxPIN {
		clear(pin)
		return sensitive.Bytes{}, fmt.Errorf("PIN has %d bytes; 1 to %d are possible", len(trimmed), maxPIN)
	}
	return sensitive.Take(trimmed), nil
}

// readPINFile refuses a file that others may read: then it is no secret. What
// systemd put into its credentials folder may belong to root and be readable
// through an access control list, which shows as group permissions.
func readPINFile(path, credentials string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	forbidden, owners := os.FileMode(0o177), []uint32{uint32(os.Geteuid())}
	if credentials != "" && strings.HasPrefix(filepath.Clean(path), filepath.Clean(credentials)+"/") {
		forbidden, owners = 0o137, append(owners, 0)
	}
	if info.Mode().Perm()&forbidden != 0 {
		return nil, fmt.Errorf("%s has mode %04o; it must be 0400 or 0600", path, info.Mode().Perm())
	}
	if stat.Uid != owners[0] && stat.Uid != owners[len(owners)-1] {
		return nil, fmt.Errorf("%s belongs to user %d, not to the worker's user %d", path, stat.Uid, owners[0])
	}
	// One byte more than a PIN and its newline may have: too long stays too long.
	buf := make([]byte, maxPIN+2)
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}

// PINRejected reports whether err says that the token refused the PIN, or that
// trying it was too dangerous. Nobody must try again before the PIN's source
// has changed or an operator says so: tokens lock after three attempts.
func PINRejected(err error) bool { return ckr.ClassOf(err) == ckr.PIN }

// login makes the one attempt that this process makes. It looks at the token's
// flags first: a locked PIN is left alone, and so is one with a single try
// left, unless the operator insists (pkcs11.md §7.4). Not every token sets
// these flags.
func (t *Token) login(info cryptoki.TokenInfo) error {
	switch flags := info.Flags; {
	case flags&cryptoki.FlagUserPINLocked != 0:
		return ckr.New("PIN is locked, not tried", ckr.PINLocked)
	case flags&cryptoki.FlagUserPINFinalTry != 0 && !t.cfg.ForceLogin:
		return ckr.Found(ckr.PIN, "PIN has one try left before it locks, not tried")
	case flags&cryptoki.FlagTokenInitialized == 0, flags&cryptoki.FlagUserPINInitialized == 0:
		return ckr.New("token has no user PIN yet", ckr.UserPINNotInitialized)
	}
	pin, err := t.cfg.PIN.read()
	if err != nil {
		return err
	}
	defer pin.Wipe()
	err = t.m.Login(t.anchor, pin.Reveal())
	if ckr.CodeOf(err) != ckr.UserAlreadyLoggedIn {
		return err
	}
	// Somebody in this process was faster: a module that logs in by itself. The
	// session says whether it is the user.
	state, err := t.m.SessionState(t.anchor)
	if err == nil && !state.LoggedIn() {
		err = ckr.New("C_Login", ckr.UserAlreadyLoggedIn).SettledTo(ckr.PIN)
	}
	return err
}
