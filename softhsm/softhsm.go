// Package softhsm makes SoftHSM2 tokens with softhsm2-util, for `strongroom
// dev` and tests. It never loads the module itself: that is the worker's
// business.
//
// A token lives in one folder:
//
//	softhsm2.conf   names tokens/; SOFTHSM2_CONF points here, always. Debian's
//	                own configuration is readable for its group only
//	tokens/         SoftHSM's object store
//	pin, so-pin     random, readable for the owner alone
package softhsm

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrMissing says that SoftHSM2 is not installed on this machine.
var ErrMissing = errors.New("SoftHSM2 is not installed (Debian: apt-get install softhsm2)")

// Label is what every token made here is called; the serial tells them apart.
const Label = "strongroom"

// Token is a SoftHSM2 token, ready to be opened by a worker.
type Token struct {
	Label   string
	Serial  string
	Module  string   // absolute path of libsofthsm2.so, symbolic links resolved
	PINFile string   // the user PIN, mode 0400
	Conf    string   // what SOFTHSM2_CONF must be
	Env     []string // what a process needs to see this token: SOFTHSM2_CONF=…
	URI     string   // RFC 7512, with module-path and pin-source
}

const util = "softhsm2-util"

// Provision returns the token of folder dir, and makes it first where there is
// none. It may be repeated, and stopped anywhere: the PINs are on disk before
// the token exists. dir is created if need be.
func Provision(ctx context.Context, dir string) (Token, error) {
	if _, err := exec.LookPath(util); err != nil {
		return Token{}, ErrMissing
	}
	module, err := findModule()
	if err != nil {
		return Token{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Token{}, err
	}
	f := folder(dir)
	unlock, err := f.prepare()
	if err != nil {
		return Token{}, fmt.Errorf("prepare token folder %s: %w", dir, err)
	}
	defer unlock()

	serial, err := f.serial(ctx)
	if err == nil && serial == "" {
		if err = f.initToken(ctx); err == nil {
			serial, err = f.serial(ctx)
		}
	}
	switch {
	case err != nil:
		return Token{}, err
	case serial == "":
		return Token{}, fmt.Errorf("%s made no token in %s", util, dir)
	}
	return f.token(serial, module), nil
}

// folder is where one token and its files are.
type folder string

func (f folder) file(name string) string { return filepath.Join(string(f), name) }

func (f folder) conf() string { return f.file("softhsm2.conf") }

// prepare makes everything but the token. The lock keeps two processes from
// making a token each in the same folder.
func (f folder) prepare() (unlock func(), err error) {
	if err := os.MkdirAll(f.file("tokens"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(f.file("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = lock.Close() } // closing is what unlocks; the file holds nothing
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		unlock()
		return nil, err
	}
	// The file store: Debian's build has no other, and the database store reads
	// SQLite on every operation (pkcs11.md §5.3).
	conf := "directories.tokendir = " + f.file("tokens") + "\n" +
		"objectstore.backend = file\n" +
		"log.level = ERROR\n" +
		"slots.removable = false\n"
	err = errors.Join(
		os.WriteFile(f.conf(), []byte(conf), 0o600),
		makePIN(f.file("so-pin")),
		makePIN(f.file("pin")),
	)
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// makePIN writes a random PIN, unless there already is one.
func makePIN(file string) error {
	_, err := os.Stat(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b := make([]byte, 20)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	pin := strings.ToLower(base32.StdEncoding.EncodeToString(b)) // 160 bits in 32 characters, no padding
	tmp := file + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(tmp, []byte(pin+"\n"), 0o400); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

func (f folder) env() []string { return []string{"SOFTHSM2_CONF=" + f.conf()} }

func (f folder) token(serial, module string) Token {
	return Token{
		Label:   Label,
		Serial:  serial,
		Module:  module,
		PINFile: f.file("pin"),
		Conf:    f.conf(),
		Env:     f.env(),
		URI: "pkcs11:token=" + pathEscape(Label) + ";serial=" + pathEscape(serial) +
			"?module-path=" + queryEscape(module) + "&pin-source=" + queryEscape("file:"+f.file("pin")),
	}
}

// serial returns the serial number of the token, or nothing where there is no
// token yet. Slot numbers change when a token is made; serials do not.
func (f folder) serial(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, util, "--show-slots")
	cmd.Env = append(os.Environ(), f.env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s --show-slots: %w: %s", util, err, strings.TrimSpace(string(out)))
	}
	var serials []string
	for _, slot := range strings.Split(string(out), "\nSlot ")[1:] {
		fields := slotFields(slot)
		if fields["Initialized"] == "yes" && fields["Label"] == Label {
			serials = append(serials, fields["Serial number"])
		}
	}
	switch len(serials) {
	case 0:
		return "", nil
	case 1:
		return serials[0], nil
	}
	return "", fmt.Errorf("%s has %d tokens called %s", f, len(serials), Label)
}

// slotFields reads the "Name:   value" lines of one slot.
func slotFields(slot string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(slot) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return fields
}

// modulePaths is where distributions put the module, Debian first.
var modulePaths = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib/*/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// findModule resolves symbolic links, because two spellings of one path are
// two modules to those who compare paths (pkcs11.md §1.1).
func findModule() (string, error) {
	for _, pattern := range modulePaths {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		for _, path := range found {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				return real, nil
			}
		}
	}
	return "", ErrMissing
}
