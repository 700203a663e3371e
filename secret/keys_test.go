package secret_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// under is a new secret that names its master key.
func under(name string, key envelope.MasterKey) secret.New {
	in := named(name)
	in.Key = key
	return in
}

func (r *room) keys(t *testing.T) int {
	t.Helper()
	ids, err := r.token.List(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return len(ids)
}

// The literal reading (csms.md §4.1.1): a UUID that nobody has becomes a key.
func TestUnknownKeyIsMade(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	id := envelope.MasterKey(uuid.NewString())
	sec := r.create(t, huawei, under("a", id))
	if sec.Key != id || r.keys(t) != 1 {
		t.Errorf("made under %s, with %d keys in the token; want %s and 1", sec.Key, r.keys(t), id)
	}
	if ev := r.record.only(t, policy.KeyCreate, audit.Success); ev.Target.Kind != "key" || ev.Target.ID != string(id) {
		t.Errorf("recorded %+v", ev.Target)
	}
	r.record.forget()
	if sec := r.create(t, huawei, under("b", id)); sec.Key != id || r.keys(t) != 1 || len(r.record.events) != 0 {
		t.Errorf("the second time: under %s, %d keys, %d events", sec.Key, r.keys(t), len(r.record.events))
	}
	r.reads(t, sec.ID, "v1 of a")
}

func TestUnknownKeyIsNotMade(t *testing.T) {
	t.Parallel()
	id := envelope.MasterKey(uuid.NewString())
	for _, tc := range []struct {
		name    string
		strict  bool
		key     envelope.MasterKey
		denied  []policy.Action
		prepare func(t *testing.T, r *room)
		want    error
		event   policy.Action // of the one event; empty: none
		outcome audit.Outcome
		keys    int
	}{
		{name: "in strict mode", strict: true, key: id, want: envelope.ErrNoMasterKey},
		{name: "for an alias", key: "alias/nobody", want: envelope.ErrNoMasterKey},
		{
			name: "without kms:cmk:create", key: id, denied: []policy.Action{policy.KeyCreate},
			want: secret.ErrDenied, event: policy.KeyCreate, outcome: audit.Denied,
		},
		{
			name: "without kms:dek:create", key: id, denied: []policy.Action{policy.DataKeyCreate},
			want: secret.ErrDenied, event: policy.DataKeyCreate, outcome: audit.Denied,
		},
		{
			name: "for a name that is taken", key: id, want: secret.ErrNameTaken, keys: 1,
			prepare: func(t *testing.T, r *room) { r.create(t, huawei, named("a")) },
		},
		{
			name: "where its making cannot be recorded", key: id, want: errRecord,
			prepare: func(_ *testing.T, r *room) { r.record.err = errRecord },
		},
		{
			name: "for another project's key", key: id, want: envelope.ErrKeyUnusable, keys: 1,
			prepare: func(t *testing.T, r *room) {
				other := huawei
				other.Project = "p2"
				r.create(t, other, under("theirs", id))
			},
		},
		{
			name: "for a key that was destroyed", key: id, want: envelope.ErrKeyUnusable, keys: 1,
			prepare: func(t *testing.T, r *room) {
				sec := r.create(t, huawei, under("gone", id))
				if err := errors.Join(r.locate(t, huawei, sec.ID).Delete(t.Context()), r.store.DestroyMasterKey("p1", id)); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, func(_ *room, d *secret.Deps) { d.StrictKeys = tc.strict })
			if tc.prepare != nil {
				tc.prepare(t, r)
			}
			rows := r.rows(t)
			r.record.forget()
			r.judge.denied = tc.denied
			if _, err := r.Create(t.Context(), huawei, under("a", tc.key)); !errors.Is(err, tc.want) {
				t.Errorf("Create: %v, want %v", err, tc.want)
			}
			if n := r.keys(t); n != tc.keys {
				t.Errorf("%d keys in the token, want %d", n, tc.keys)
			}
			if after := r.rows(t); after["secrets"] != rows["secrets"] || after["audit_events"] != rows["audit_events"] {
				t.Errorf("rows were %v, are %v", rows, after)
			}
			if tc.event != "" {
				r.record.only(t, tc.event, tc.outcome)
			} else if len(r.record.events) != 0 {
				t.Errorf("recorded %+v", r.record.events)
			}
		})
	}
}

// The project's default key needs no permission of its own, and Barbican's
// clients know of no other.
func TestDefaultKeyNeedsNoPermission(t *testing.T) {
	t.Parallel()
	for _, who := range []auth.Principal{huawei, barbican} {
		r := newRoom(t, nil)
		r.judge.denied = []policy.Action{policy.DataKeyCreate, policy.DataKeyOpen, policy.KeyCreate}
		for _, in := range []secret.New{named("a"), under("b", envelope.Default)} {
			sec := r.create(t, who, in)
			got, err := r.locate(t, who, sec.ID).Reveal(t.Context())
			if err != nil || got.Payload.Len() == 0 {
				t.Errorf("%v: %v", who.Family, err)
			}
		}
	}
}

// Reading what a named key protects needs permission for that key.
func TestReadingUnderANamedKeyNeedsPermission(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, under("a", envelope.MasterKey(uuid.NewString())))
	r.judge.denied = []policy.Action{policy.DataKeyOpen}
	r.record.forget()
	calls := r.token.Calls()
	got, err := r.locate(t, huawei, sec.ID).Reveal(t.Context())
	if !errors.Is(err, secret.ErrDenied) || got.Payload.Len() != 0 || r.token.Calls() != calls {
		t.Errorf("Reveal = %d bytes, %v, with %d token calls", got.Payload.Len(), err, r.token.Calls()-calls)
	}
	if ev := r.record.only(t, policy.DataKeyOpen, audit.Denied); ev.Target.ID != string(sec.Key) {
		t.Errorf("recorded %+v", ev.Target)
	}
}

// A key that is named for later versions must exist and be usable; it is asked
// for before anything changes, and never made.
func TestUpdateOfTheKey(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	id := envelope.MasterKey(uuid.NewString())
	update := func(k envelope.MasterKey) error {
		_, err := r.locate(t, huawei, sec.ID).Update(t.Context(), secret.Update{Key: &k})
		return err
	}
	if err := update(id); !errors.Is(err, envelope.ErrNoMasterKey) || r.keys(t) != 1 {
		t.Errorf("a key that nobody has: %v, %d keys", err, r.keys(t))
	}
	r.create(t, huawei, under("b", id))
	r.judge.denied = []policy.Action{policy.DataKeyCreate}
	if err := update(id); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("without permission: %v", err)
	}
	r.judge.denied = nil
	if err := update(id); err != nil {
		t.Fatal(err)
	}
	v, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("v2"))
	if err != nil || v.Key != id {
		t.Errorf("the next version is under %s, %v; want %s", v.Key, err, id)
	}
	if f := r.found(t, sec.ID); f.Versions[0].Key == id {
		t.Error("the first version is under the new key")
	}
	if err := r.store.SetMasterKey("p1", id, "disabled"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.locate(t, huawei, sec.ID).Reveal(t.Context()); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("reading under a disabled key: %v", err)
	}
	if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("v3")); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("a version under a disabled key: %v", err)
	}
	if err := update(envelope.Default); err != nil {
		t.Errorf("back to the default key: %v", err)
	}
}
