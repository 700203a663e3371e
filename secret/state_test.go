package secret_test

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// csms.md §2.2, for the operations that there are.
func TestWhatEachStateAllows(t *testing.T) {
	t.Parallel()
	states := []secret.State{secret.Enabled, secret.Disabled, secret.PendingDelete, secret.Frozen}
	always := []error{nil, nil, nil, nil}
	changeable := []error{nil, nil, secret.ErrPendingDelete, secret.ErrNotEnabled}
	usable := []error{nil, secret.ErrNotEnabled, secret.ErrPendingDelete, secret.ErrNotEnabled}
	for _, row := range []struct {
		operation string
		want      []error // in the order of states
	}{
		{"Service.List", always},
		{"Service.ListNamed", always},
		{"Located.Show", always},
		{"Located.Versions", always},
		{"Located.Stage", always},
		{"Located.Delete", always},
		{"Located.Tags", always},
		{"Service.FindTagged", always},
		{"Located.AddTag", changeable}, {"Located.RemoveTag", changeable}, {"Located.ChangeTags", changeable},
		{"Located.Schedule", []error{nil, nil, secret.ErrScheduled, secret.ErrNotEnabled}},
		{"Located.Unschedule", []error{secret.ErrNotScheduled, secret.ErrNotScheduled, nil, secret.ErrNotScheduled}},
		{"Located.Reveal", usable},
		{"Located.AddVersion", usable},
		{"Located.SetStage", usable},
		{"Located.DropStage", usable},
		{"Located.SetExpiry", usable},
		{"Located.Update", changeable},
	} {
		for i, state := range states {
			t.Run(row.operation+" while "+string(state), func(t *testing.T) {
				t.Parallel()
				r := newRoom(t, nil)
				sec := r.furnish(t)
				r.put(t, sec.ID, state)
				events, calls := len(r.store.Events()), r.token.Calls()
				r.record.forget()
				op := gated[row.operation]
				told, err := op.call(t.Context(), r.Service, r.locate(t, huawei, sec.ID), huawei)
				if !errors.Is(err, row.want[i]) {
					t.Fatalf("answered %v, want %v", err, row.want[i])
				}
				if row.want[i] == nil {
					return
				}
				if !nothing(told) || len(r.store.Events()) != events || r.token.Calls() != calls {
					t.Errorf("refused, and told %+v, left %d events, asked the token %d times",
						told, len(r.store.Events())-events, r.token.Calls()-calls)
				}
				r.record.only(t, op.action, audit.Refused)
			})
		}
	}
}

func TestExpiredSecretDoesNotExist(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	at := r.now().Add(time.Second)
	sec := r.create(t, barbican, secret.New{Type: "opaque", Expiration: &at, Payload: value("x"), ContentType: secret.Text})
	r.ticks.Add(2000)
	r.record.forget()
	if _, err := r.Locate(t.Context(), barbican, policy.SecretReveal, secret.Anywhere(sec.ID), secret.Want{Sealed: true}); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("Locate: %v", err)
	}
	r.record.only(t, policy.SecretReveal, audit.Missing)
	if _, err := r.Create(t.Context(), barbican, secret.New{Type: "opaque", Expiration: &at}); !errors.Is(err, secret.ErrExpiresPast) {
		t.Errorf("Create of what has expired: %v", err)
	}
	if page, total, err := r.List(t.Context(), barbican, secret.Query{Limit: 10}); err != nil || total != 0 || len(page) != 0 {
		t.Errorf("List = %d of %d, %v", len(page), total, err)
	}
}

func TestPayloadsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	in := named("a")
	in.Payload = value(string(make([]byte, secret.MaxPayload+1)))
	if _, err := r.Create(t.Context(), huawei, in); !errors.Is(err, secret.ErrTooLarge) {
		t.Errorf("Create: %v", err)
	}
	sec := r.create(t, huawei, named("a"))
	calls := r.token.Calls()
	if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), secret.NewVersion{Payload: in.Payload, ContentType: secret.Text}); !errors.Is(err, secret.ErrTooLarge) || r.token.Calls() != calls {
		t.Errorf("AddVersion: %v", err)
	}
	most := secret.NewVersion{Payload: value(string(make([]byte, secret.MaxPayload))), ContentType: secret.Text}
	if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), most); err != nil {
		t.Errorf("AddVersion of just as much as may be: %v", err)
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	empty := r.create(t, barbican, secret.New{Type: "opaque"})
	full := r.furnish(t)
	for _, tc := range []struct {
		name string
		id   secret.ID
		want secret.Want
		err  error
	}{
		{"a secret without a payload", empty.ID, secret.Want{Sealed: true}, secret.ErrNoPayload},
		{"a version of a secret without a payload", empty.ID, secret.Want{Sealed: true, Number: 1}, secret.ErrNoPayload},
		{"a version that is not there", full.ID, secret.Want{Sealed: true, Number: 99}, secret.ErrNoVersion},
		{"a stage that is not there", full.ID, secret.Want{Sealed: true, Stage: "green"}, secret.ErrNoVersion},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := r.Locate(t.Context(), huawei, policy.SecretReveal, secret.Within("p1", tc.id), tc.want)
			if err != nil {
				t.Fatal(err)
			}
			r.record.forget()
			if _, err := l.Reveal(t.Context()); !errors.Is(err, tc.err) || l.HasPayload() {
				t.Errorf("Reveal: %v, want %v", err, tc.err)
			}
			r.record.only(t, policy.SecretReveal, audit.Missing)
		})
	}
	l := r.locate(t, huawei, full.ID)
	if _, err := l.SetStage(t.Context(), "blue", 99); !errors.Is(err, secret.ErrNoVersion) {
		t.Errorf("a stage on a version that is not there: %v", err)
	}
	if err := l.DropStage(t.Context(), secret.Current); !errors.Is(err, secret.ErrBuiltInStage) {
		t.Errorf("dropping a built-in stage: %v", err)
	}
	if _, err := l.SetExpiry(t.Context(), 99, nil); !errors.Is(err, secret.ErrNoVersion) {
		t.Errorf("the expiry of a version that is not there: %v", err)
	}
	if _, err := l.Metadatum(t.Context(), "nobody"); !errors.Is(err, secret.ErrNoMetadatum) {
		t.Errorf("metadata that is not there: %v", err)
	}
}
