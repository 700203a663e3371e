package softhsm_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom-kms/strongroom/softhsm"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

func TestTokenIsFoundAgain(t *testing.T) {
	dir := softhsmtest.Dir(t)
	first := softhsmtest.ProvisionIn(t, dir)
	second := softhsmtest.ProvisionIn(t, dir)
	if first.Serial == "" || first.Serial != second.Serial || first.URI != second.URI {
		t.Errorf("first %+v, then %+v", first, second)
	}
	tokens, err := os.ReadDir(filepath.Join(dir, "tokens"))
	if err != nil || len(tokens) != 1 {
		t.Errorf("%d tokens on disk, %v", len(tokens), err)
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	dir := softhsmtest.Dir(t)
	tok := softhsmtest.ProvisionIn(t, dir)
	for _, file := range []string{tok.PINFile, filepath.Join(dir, "so-pin")} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o400 {
			t.Errorf("%s has mode %o", file, info.Mode().Perm())
		}
	}
	pin, err := os.ReadFile(tok.PINFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.TrimSpace(string(pin))); n != 32 {
		t.Errorf("PIN of %d characters", n)
	}
}

func TestURINamesEverything(t *testing.T) {
	dir := filepath.Join(softhsmtest.Dir(t), "a b;c&d")
	tok := softhsmtest.ProvisionIn(t, dir)
	want := "pkcs11:token=strongroom;serial=" + tok.Serial + "?module-path=" + tok.Module +
		"&pin-source=file:" + strings.NewReplacer(" ", "%20", ";", "%3B", "&", "%26").Replace(tok.PINFile)
	// & parts the attributes of the query, so one inside a value is escaped.
	if got := tok.URI; got != want {
		t.Errorf("URI = %s\nwant  %s", got, want)
	}
	if len(tok.Env) != 1 || tok.Env[0] != "SOFTHSM2_CONF="+tok.Conf {
		t.Errorf("Env = %q", tok.Env)
	}
}

func TestTwoAtOnceMakeOneToken(t *testing.T) {
	dir := softhsmtest.Dir(t)
	var wg sync.WaitGroup
	serials := make([]string, 4)
	for i := range serials {
		wg.Go(func() {
			tok, err := softhsm.Provision(t.Context(), dir)
			if err != nil {
				t.Errorf("Provision: %v", err)
			}
			serials[i] = tok.Serial
		})
	}
	wg.Wait()
	for _, s := range serials {
		if s == "" || s != serials[0] {
			t.Errorf("serials differ: %q", serials)
		}
	}
}

func TestMissingToolHasAnErrorOfItsOwn(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := softhsm.Provision(t.Context(), t.TempDir()); !errors.Is(err, softhsm.ErrMissing) {
		t.Errorf("Provision = %v", err)
	}
}
