package keystonetest_test

import (
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/e2e/keystonetest"
)

func TestKeystone(t *testing.T) {
	for _, p := range keystonetest.Programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("REQUIRE_CLIENTS") == "" {
				t.Skip(err)
			}
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	k, err := keystonetest.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}()
	accounts := realm.Accounts{
		Roles: []string{"creator"}, Projects: []string{"alpha"},
		Users: []realm.Persona{{Name: "alice", Password: "pw", Project: "alpha", Roles: []string{"creator"}}},
	}
	for range 2 { // it may be repeated
		if err := k.Load(ctx, accounts); err != nil {
			t.Fatal(err)
		}
		if err := k.Endpoint(ctx, "key-manager", "strongroom", "http://127.0.0.1:9311"); err != nil {
			t.Fatal(err)
		}
	}
	token, err := k.Login(ctx, "alice", "pw", keystonetest.InProject("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Revoke(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := k.Revoke(ctx, token); err == nil {
		t.Error("a revoked token is good for another request")
	}

	if err := k.Stop(); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(k.URL); err == nil {
		resp.Body.Close()
		t.Error("a stopped Keystone answers")
	}
	if err := k.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Login(ctx, "alice", "pw", keystonetest.InProject("alpha")); err != nil {
		t.Error(err)
	}
}
