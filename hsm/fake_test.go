package hsm_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/serve"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// A test of supervision needs workers that hang, die and lie on command. So
// this test binary is also a worker: started with scriptVar set, it serves a
// fake token that looks into the named folder before each operation.
const scriptVar = "STRONGROOM_TEST_SCRIPT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(scriptVar); dir != "" {
		os.Exit(fakeWorker(script(dir)))
	}
	if dir := os.Getenv(serverVar); dir != "" {
		os.Exit(fakeServer(script(dir)))
	}
	goleak.VerifyTestMain(m)
}

// serverVar makes this binary a server with one fake worker, for a test that
// kills it.
const serverVar = "STRONGROOM_TEST_SERVER"

func fakeServer(s script) int {
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	tok, err := hsm.Open(context.Background(), hsm.Config{
		Worker: self, Modules: []string{self},
		Tokens: []hsm.TokenConfig{{Module: self, Label: "fake", Env: []string{scriptVar + "=" + string(s)}}},
	})
	if err != nil {
		return 1
	}
	for len(tok.PIDs()) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.log("worker", strconv.Itoa(tok.PIDs()[0]))
	select {}
}

// script is a folder whose files say how the fake workers behave.
type script string

func (s script) file(name string) string { return filepath.Join(string(s), name) }

func (s script) text(name string) (string, bool) {
	b, err := os.ReadFile(s.file(name))
	return strings.TrimSpace(string(b)), err == nil
}

// has reports whether name is there; once takes it away as well, for one of
// several processes.
func (s script) has(name string) bool  { _, ok := s.text(name); return ok }
func (s script) once(name string) bool { return os.Remove(s.file(name)) == nil }

func (s script) log(name, line string) {
	f, err := os.OpenFile(s.file(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic(err)
	}
}

func fakeWorker(s script) int {
	conn, err := serve.Inherited()
	if err != nil {
		return serve.ExitUsage
	}
	return serve.Run(conn, func(_ context.Context, set serve.Settings) (serve.Token, error) {
		return s.open(conn, set)
	})
}

// open stands for loading the module, logging in and the self-test.
func (s script) open(conn io.Writer, set serve.Settings) (serve.Token, error) {
	fmt.Fprintln(os.Stderr, "module prints something")
	if s.has("away") {
		return nil, ckr.New("C_Initialize", 0x30)
	}
	if s.has("open-hangs") {
		select {}
	}
	if want, ok := s.text("pin-of-token"); ok {
		pin, err := os.ReadFile(set.PINFile)
		if err != nil {
			return nil, err
		}
		s.log("logins", strconv.Itoa(os.Getpid()))
		if s.has("slow-login") {
			time.Sleep(200 * time.Millisecond)
		}
		if string(pin) != want {
			return nil, ckr.New("C_Login", 0xA0)
		}
	}
	return &fakeToken{s, conn}, nil
}

// fakeToken keeps its keys in the folder and "wraps" by turning bytes round.
type fakeToken struct {
	script
	conn io.Writer
}

// obey does what the script says about op, before op does its work.
func (f *fakeToken) obey(op string) error {
	if f.once("die-" + op) {
		os.Exit(3)
	}
	if n, ok := f.text("deaths-" + op); ok && n != "0" {
		left, err := strconv.Atoi(n)
		if err == nil {
			err = os.WriteFile(f.file("deaths-"+op), []byte(strconv.Itoa(left-1)), 0o600)
		}
		if err != nil {
			panic(err)
		}
		os.Exit(3)
	}
	if text, ok := f.text("says-" + op); ok && f.once("says-"+op) {
		_, _ = io.WriteString(f.conn, text)
	}
	if f.has("hang-"+op) || f.once("stall-"+op) {
		select {}
	}
	if text, ok := f.text("slow-" + op); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		time.Sleep(d)
	}
	code, ok := f.text("code-" + op)
	if text, armed := f.text("once-" + op); armed && !ok && f.once("once-"+op) {
		code, ok = cmp.Or(text, "0x30"), true
	}
	if ok {
		n, err := strconv.ParseUint(code, 0, 32)
		if err != nil {
			panic(err)
		}
		return ckr.New("C_"+op, ckr.Code(n))
	}
	return nil
}

func (f *fakeToken) key(id key.ID) string { return f.file("key-" + id.String()) }

func (f *fakeToken) Generate(_ context.Context, spec key.Spec) (key.Made, error) {
	f.log("generated", spec.ID.String())
	if _, err := os.Stat(f.key(spec.ID)); err == nil {
		return key.Made{}, ckr.New("C_GenerateKey", 0xD1)
	}
	if err := os.WriteFile(f.key(spec.ID), nil, 0o600); err != nil {
		return key.Made{}, err
	}
	if err := f.obey("generate"); err != nil { // the object is there, the answer is not
		return key.Made{}, err
	}
	return key.Made{Ref: ref(spec.ID), TokenLabel: "fake", TokenSerial: "1"}, nil
}

func (f *fakeToken) Wrap(_ context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	if err := f.obey("wrap"); err != nil {
		return nil, err
	}
	return turn(kek, dek.Reveal(), aad), nil
}

func turn(kek key.Ref, b, aad []byte) []byte {
	sum := sha256.Sum256(append(kek.ID[:], aad...))
	b = bytes.Clone(b)
	slices.Reverse(b)
	return append(b, sum[:]...)
}

func (f *fakeToken) Unwrap(_ context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	if err := f.obey("unwrap"); err != nil {
		return sensitive.Bytes{}, err
	}
	dek := bytes.Clone(wrapped[:max(len(wrapped)-sha256.Size, 0)])
	slices.Reverse(dek)
	if !bytes.Equal(turn(kek, dek, aad), wrapped) {
		return sensitive.Bytes{}, ckr.New("C_Decrypt", 0x40)
	}
	return sensitive.Take(dek), nil
}

func (f *fakeToken) Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error) {
	out := make([]key.Rewrapped, len(items))
	for i, it := range items {
		dek, err := f.Unwrap(ctx, from, it.Wrapped, it.From)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Wrapped = turn(to, dek.Reveal(), it.To)
	}
	return out, nil
}

func (f *fakeToken) Random(_ context.Context, n int) (sensitive.Bytes, error) {
	if err := f.obey("random"); err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.Take(bytes.Repeat([]byte{7}, n)), nil
}

func (f *fakeToken) Check(context.Context, key.Ref) (key.CheckResult, error) {
	return key.OK, f.obey("check")
}

func (f *fakeToken) Destroy(_ context.Context, kek key.Ref) error {
	if err := f.obey("destroy"); err != nil {
		return err
	}
	if err := os.Remove(f.key(kek.ID)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *fakeToken) List(context.Context) ([]key.ID, error) {
	if n, ok := f.text("list-length"); ok {
		count, err := strconv.Atoi(n)
		if err != nil {
			return nil, err
		}
		return manyIDs(count), nil
	}
	found, err := filepath.Glob(f.file("key-*"))
	var ids []key.ID
	for _, name := range found {
		id, err := key.ParseID(strings.TrimPrefix(filepath.Base(name), "key-"))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, err
}

// manyIDs is a token full of keys, in no order.
func manyIDs(n int) []key.ID {
	ids := make([]key.ID, n)
	for i := range ids {
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		copy(ids[i][:], sum[:])
	}
	return ids
}

func (f *fakeToken) Status(context.Context) (key.Status, error) {
	return key.Status{Tokens: []key.TokenStatus{{
		Label: "fake", Serial: "1", Model: "script", Usable: true,
		Formats: []key.FormatReport{{Format: key.A256GCM, Passed: true}},
	}}}, f.obey("status")
}

func (f *fakeToken) Close() error { return nil }

// fakeConfig is a Config for workers that obey s. The "module" is this test
// binary: it must be an existing file, and is never loaded.
func fakeConfig(t testing.TB, s script) hsm.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		t.Fatal(err)
	}
	return hsm.Config{
		Worker:  self,
		Modules: []string{self},
		Tokens: []hsm.TokenConfig{{
			Module: self, Label: "fake", PINFile: s.file("pin"),
			Env: []string{scriptVar + "=" + string(s)},
		}},
		Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
	}
}

// folder returns a fresh script.
func folder(t testing.TB) script { return script(t.TempDir()) }

func (s script) put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s script) drop(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(s.file(name)); err != nil {
		t.Fatal(err)
	}
}

// lines counts what fake workers have logged.
func (s script) lines(name string) int {
	text, _ := s.text(name)
	return len(strings.Fields(text))
}

// openFake returns a Token over fake workers, and closes it with the test.
func openFake(t testing.TB, cfg hsm.Config) *hsm.Token {
	t.Helper()
	tok, err := hsm.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

func ref(id key.ID) key.Ref {
	return key.Ref{ID: id, Format: key.A256GCM, Canary: key.Canary{Wrapped: []byte("canary"), AAD: []byte("aad")}}
}

var (
	kek = ref(key.ID{0xCA, 0xFE})
	aad = []byte("here")
	dek = bytes.Repeat([]byte{1, 2, 3, 4}, 8)
)

// wrapped is dek as the fake token wraps it.
func wrapped() []byte { return turn(kek, dek, aad) }

// unwrap asks for dek and reports what came instead, if anything.
func unwrap(ctx context.Context, tok *hsm.Token) error {
	got, err := tok.Unwrap(ctx, kek, wrapped(), aad)
	if err != nil {
		return err
	}
	defer got.Wipe()
	if !bytes.Equal(got.Reveal(), dek) {
		return fmt.Errorf("unwrapped %s", hex.EncodeToString(got.Reveal()))
	}
	return nil
}

// eventually waits for what happens in another process.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", within, what)
}
