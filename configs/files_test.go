package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/configs"
)

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func TestDatabaseURLComesFromWhereItIs(t *testing.T) {
	dir, credentials := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "url")
	put(t, file, "postgres://file\n", 0o600)
	open := filepath.Join(dir, "open")
	put(t, open, "postgres://open\n", 0o644)
	put(t, filepath.Join(credentials, "db-url"), "postgres://credential\n", 0o400)

	for _, tc := range []struct {
		name, credentials string
		db                configs.Database
		want, problem     string
	}{
		{"the credential first", credentials, configs.Database{URLFile: file}, "postgres://credential", ""},
		{"the file without a credential of that name", dir, configs.Database{URLFile: file}, "postgres://file", ""},
		{"the file", "", configs.Database{URLFile: file}, "postgres://file", ""},
		{"the configuration", "", configs.Database{URL: "postgres://here"}, "postgres://here", ""},
		{"not a file that everybody reads", "", configs.Database{URLFile: open}, "", "open to everybody"},
		{"not a file that is not there", "", configs.Database{URLFile: dir + "/none"}, "", "no such file"},
		{"nowhere", "", configs.Database{}, "", "nobody says where"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", tc.credentials)
			got, err := tc.db.DSN()
			if string(got.Reveal()) != tc.want {
				t.Errorf("got %q, want %q", got.Reveal(), tc.want)
			}
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got %v, want a problem with %q", err, tc.problem)
			}
		})
	}
}

func TestKeystonePasswordComesFromWhereItIs(t *testing.T) {
	dir, credentials := t.TempDir(), t.TempDir()
	file, open := filepath.Join(dir, "password"), filepath.Join(dir, "open")
	empty := filepath.Join(dir, "empty")
	put(t, empty, "\n", 0o600)
	put(t, file, "from the file\n", 0o600)
	put(t, open, "open\n", 0o644)
	put(t, filepath.Join(credentials, "keystone-password"), "from the credential\n", 0o400)
	for _, tc := range []struct{ credentials, file, want, problem string }{
		{credentials, file, "from the credential", ""},
		{dir, file, "from the file", ""},
		{"", file, "from the file", ""},
		{"", open, "", "open to everybody"},
		{"", empty, "", "is empty"},
		{"", "", "", "nobody has the password"},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", tc.credentials)
		got, err := configs.Keystone{PasswordFile: tc.file}.Password()
		if string(got.Reveal()) != tc.want || (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
			t.Errorf("%+v: got %q, %v", tc, got.Reveal(), err)
		}
	}
}

func TestFilesThatAreNotThereAreNamed(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "no-program"), "", 0o600)
	put(t, filepath.Join(dir, "no-ca"), "nothing", 0o600)
	var cfg configs.Config
	cfg.Listeners = []configs.Listener{{TLS: configs.TLS{
		CertFile: dir + "/crt", KeyFile: dir + "/key", ClientCAFile: dir + "/no-ca",
	}}}
	cfg.Policy.File = dir + "/policy"
	cfg.HSM.Worker = dir + "/no-program"
	cfg.Identity = configs.Identity{Mode: configs.ByKeystone, Keystone: configs.Keystone{CAFile: dir + "/no-ca"}}
	cfg.Audit.Journal = dir + "/none/journal"
	err := cfg.CheckFiles()
	if err == nil {
		t.Fatal("CheckFiles succeeded")
	}
	for _, key := range []string{
		"listeners[0].tls: ", "listeners[0].tls.client_ca_file: ", "db: ", "policy.file: ", "hsm.worker: ", "audit.journal: ",
		"identity.keystone.password_file: ", "identity.keystone.ca_file: ",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}

	put(t, filepath.Join(dir, "program"), "", 0o700)
	fine := configs.Config{Audit: configs.Audit{Journal: dir + "/journal"}, HSM: configs.HSM{Worker: dir + "/program"}}
	fine.Database.URL = "postgres://here"
	if err := fine.CheckFiles(); err != nil {
		t.Errorf("nothing is missing, and CheckFiles answers %v", err)
	}
}
