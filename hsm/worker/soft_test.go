package worker_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/softhsm"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

// One process has one SOFTHSM2_CONF and one user of the module. So the tests
// that want a SoftHSM token take turns: soft opens one, and the next test may
// have it when this one is done.
var turn sync.Mutex

// soft returns a token over SoftHSM that is gone with the test.
func soft(tb testing.TB, change func(*worker.Config)) (*worker.Token, softhsm.Token) {
	tb.Helper()
	provisioned := softhsmtest.Provision(tb)
	return openSoft(tb, provisioned, change), provisioned
}

func takeTurn(tb testing.TB, s softhsm.Token) {
	tb.Helper()
	turn.Lock()
	tb.Cleanup(turn.Unlock)
	if err := os.Setenv("SOFTHSM2_CONF", s.Conf); err != nil {
		tb.Fatal(err)
	}
}

func openSoft(tb testing.TB, s softhsm.Token, change func(*worker.Config)) *worker.Token {
	tb.Helper()
	takeTurn(tb, s)
	cfg := softConfig(s)
	if change != nil {
		change(&cfg)
	}
	tok, err := worker.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := tok.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return tok
}

func softConfig(s softhsm.Token) worker.Config {
	return worker.Config{
		Module: s.Module,
		Token:  worker.TokenMatch{Label: s.Label, Serial: s.Serial},
		PIN:    worker.PINSource{File: s.PINFile},
		Log:    zap.NewNop(),
	}
}

func damaged(err error) bool { return err != nil && ckr.ClassOf(err) == ckr.Data }
func missing(err error) bool { return err != nil && ckr.ClassOf(err) == ckr.Handle }

var options = hsmtest.Options{Damaged: damaged, Missing: missing}

func TestTokenOverSoftHSM(t *testing.T) {
	tok, _ := soft(t, nil)
	before, err := tok.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hsmtest.Run(t, options, func(*testing.T) hsmtest.Token { return tok })
	t.Cleanup(func() {
		after, err := tok.List(context.WithoutCancel(t.Context()))
		if err != nil || len(after) != len(before) {
			t.Errorf("%d keys in the token, %d before: %v", len(after), len(before), err)
		}
	})
}

func TestSelfTestOfSoftHSM(t *testing.T) {
	tok, _ := soft(t, nil)
	report := tok.SelfTest()
	if len(report.Formats) != 2 {
		t.Fatalf("report on %d formats", len(report.Formats))
	}
	for _, r := range report.Formats {
		if !r.Passed {
			t.Errorf("%v: %s", r.Format, r.Problem)
		}
	}
	// 2.6.1 says GENERAL_ERROR for a bad tag, 2.7.0 ENCRYPTED_DATA_INVALID. A bad
	// MAC has one code everywhere.
	if c := report.BadTag[key.A256GCM]; c != ckr.GeneralError && c != ckr.EncryptedDataInvalid {
		t.Errorf("bad tag is %v", c)
	}
	if c := report.BadTag[key.A256CBCHS256]; c != ckr.SignatureInvalid {
		t.Errorf("bad MAC is %v", c)
	}
	if w := tok.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
	t.Logf("%+v", tok.Info())
}
