package secret_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

func listing(ids ...auth.UserID) *[]auth.UserID { return &ids }

// Replacing forgets what is not mentioned, amending keeps it.
func TestACLChange(t *testing.T) {
	t.Parallel()
	then, now := time.Unix(1, 0), time.Unix(2, 0)
	old := &secret.ACL{Private: true, Readers: []auth.UserID{"a", "b"}, CreatedAt: then, UpdatedAt: then}
	for _, tc := range []struct {
		name             string
		change           secret.ACLChange
		old              *secret.ACL
		replaced, amends *secret.ACL
	}{
		{"nothing of none", secret.ACLChange{}, nil, nil, nil},
		{"nothing", secret.ACLChange{}, old, nil, old},
		{"users of none", secret.ACLChange{Readers: listing("b", "a", "b")}, nil,
			&secret.ACL{Readers: []auth.UserID{"a", "b"}, CreatedAt: now, UpdatedAt: now},
			&secret.ACL{Readers: []auth.UserID{"a", "b"}, CreatedAt: now, UpdatedAt: now}},
		{"privacy of none", secret.ACLChange{Private: ptr(true)}, nil,
			&secret.ACL{Private: true, Readers: []auth.UserID{}, CreatedAt: now, UpdatedAt: now},
			&secret.ACL{Private: true, Readers: []auth.UserID{}, CreatedAt: now, UpdatedAt: now}},
		{"users", secret.ACLChange{Readers: listing("c")}, old,
			&secret.ACL{Readers: []auth.UserID{"c"}, CreatedAt: then, UpdatedAt: now},
			&secret.ACL{Private: true, Readers: []auth.UserID{"c"}, CreatedAt: then, UpdatedAt: now}},
		{"no users", secret.ACLChange{Readers: listing()}, old,
			&secret.ACL{Readers: []auth.UserID{}, CreatedAt: then, UpdatedAt: now},
			&secret.ACL{Private: true, Readers: []auth.UserID{}, CreatedAt: then, UpdatedAt: now}},
		{"privacy", secret.ACLChange{Private: ptr(false)}, old,
			&secret.ACL{Readers: []auth.UserID{}, CreatedAt: then, UpdatedAt: now},
			&secret.ACL{Readers: []auth.UserID{"a", "b"}, CreatedAt: then, UpdatedAt: now}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.replaced, tc.change.Replace(tc.old, now)); diff != "" {
				t.Errorf("Replace (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.amends, tc.change.Amend(tc.old, now)); diff != "" {
				t.Errorf("Amend (-want +got):\n%s", diff)
			}
		})
	}
	if !old.Private || len(old.Readers) != 2 || !old.UpdatedAt.Equal(then) {
		t.Errorf("the old one became %+v", old)
	}
}

// The judge hears of the ACL with every operation on the secret.
func TestEveryDecisionKnowsTheACL(t *testing.T) {
	t.Parallel()
	for name, op := range gated {
		r := newRoom(t, func(_ *room, d *secret.Deps) { d.Judge = &asked{} })
		sec := r.furnish(t)
		if err := r.locate(t, barbican, sec.ID).SetACL(t.Context(), secret.ACLChange{Private: ptr(true), Readers: listing("guest")}); err != nil {
			t.Fatal(err)
		}
		l := r.locate(t, huawei, sec.ID)
		j, _ := r.deps.Judge.(*asked)
		j.targets = nil
		_, _ = op.call(t.Context(), r.Service, l, huawei) // what comes of it is for other tests
		for _, target := range j.targets {
			if target.Kind == "secret" && (!target.Private || !cmp.Equal(target.Readers, []string{"guest"})) {
				t.Errorf("%s: decided about %+v", name, target)
			}
		}
	}
}

// asked allows all and keeps what it was asked for.
type asked struct{ targets []policy.Target }

func (j *asked) Decide(_ auth.Principal, _ policy.Action, t policy.Target) policy.Decision {
	j.targets = append(j.targets, t)
	return policy.Decision{Allowed: true, Rules: []string{"a rule"}}
}

// What moves the time of the last update, and what leaves no trace because it
// changes nothing (barbican.md §8.2, §11).
func TestACLAndUpdated(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	id := r.create(t, barbican, secret.New{Type: "opaque"}).ID
	change := secret.ACLChange{Private: ptr(true)}
	for _, step := range []struct {
		name           string
		moves, changes bool
		do             func(l *secret.Located) error
	}{
		{"drop none", false, false, func(l *secret.Located) error { return l.DropACL(t.Context()) }},
		{"set none on none", false, false, func(l *secret.Located) error { return l.SetACL(t.Context(), secret.ACLChange{}) }},
		{"patch nothing on none", false, false, func(l *secret.Located) error { return l.PatchACL(t.Context(), secret.ACLChange{}) }},
		{"set", true, true, func(l *secret.Located) error { return l.SetACL(t.Context(), change) }},
		{"set the same", true, true, func(l *secret.Located) error { return l.SetACL(t.Context(), change) }},
		{"patch", true, true, func(l *secret.Located) error { return l.PatchACL(t.Context(), change) }},
		{"patch nothing", false, false, func(l *secret.Located) error { return l.PatchACL(t.Context(), secret.ACLChange{}) }},
		{"set none", true, true, func(l *secret.Located) error { return l.SetACL(t.Context(), secret.ACLChange{}) }},
		{"patch none", true, true, func(l *secret.Located) error { return l.PatchACL(t.Context(), change) }},
		{"drop", false, true, func(l *secret.Located) error { return l.DropACL(t.Context()) }},
	} {
		before, events := r.found(t, id).Secret, len(r.store.Events())
		if err := step.do(r.locate(t, barbican, id)); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		after := r.found(t, id).Secret
		if moved := after.UpdatedAt.After(before.UpdatedAt); moved != step.moves {
			t.Errorf("%s moved the time of the last update: %v", step.name, moved)
		}
		if changed := len(r.store.Events()) > events; changed != step.changes || changed != (after.Revision > before.Revision) {
			t.Errorf("%s changed something: %v", step.name, changed)
		}
	}
}

// Two changes of different parts at once are both kept.
func TestRacingPatchesAreBothKept(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := newRoom(t, nil)
		id := r.create(t, barbican, secret.New{Type: "opaque"}).ID
		var wg sync.WaitGroup
		for _, c := range []secret.ACLChange{{Private: ptr(true)}, {Readers: listing("guest")}} {
			l := r.locate(t, barbican, id) // both have read the secret before either changes it
			wg.Go(func() {
				if err := l.PatchACL(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if acl := r.found(t, id).Secret.ACL; acl == nil || !acl.Private || len(acl.Readers) != 1 {
			t.Fatalf("the ACL is %+v", acl)
		}
	}
}

func TestNobodySharesWithNobody(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	id := r.create(t, barbican, secret.New{Type: "opaque"}).ID
	if err := r.locate(t, barbican, id).SetACL(t.Context(), secret.ACLChange{Readers: listing("", "guest")}); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[auth.UserID]int{"guest": 1, "": 0, "u1": 0} {
		who := barbican
		who.User, who.Project = user, "p2"
		page, total, err := r.ListShared(t.Context(), who, "", secret.Query{Limit: 10})
		if err != nil || total != want || len(page) != want {
			t.Errorf("%q has %d, %v", user, total, err)
		}
	}
}

// What is refused by ownership or a state, and what is not there, is on record.
func TestRefusalsOfPartsAreRecorded(t *testing.T) {
	t.Parallel()
	guest := barbican
	guest.User, guest.Project = "guest", "p2"
	use := secret.Use{Service: "image"}
	for _, tc := range []struct {
		name    string
		who     auth.Principal
		act     policy.Action
		want    error
		outcome audit.Outcome
		do      func(l *secret.Located) error
	}{
		{"a stranger's removal", guest, policy.ConsumerRemove, secret.ErrConsumerForeign, audit.Refused,
			func(l *secret.Located) error { _, err := l.Unregister(t.Context(), use); return err }},
		{"a removal of what is not there", barbican, policy.ConsumerRemove, secret.ErrNoConsumer, audit.Missing,
			func(l *secret.Located) error { _, err := l.Unregister(t.Context(), secret.Use{}); return err }},
		{"a consumer that is not there", barbican, policy.ConsumerList, secret.ErrNoConsumer, audit.Missing,
			func(l *secret.Located) error { _, err := l.Consumer(t.Context(), "none"); return err }},
		{"a deletion of what is in use", barbican, policy.SecretDelete, secret.ErrInUse, audit.Refused,
			func(l *secret.Located) error { return l.DeleteUnused(t.Context()) }},
		{"metadata that is not there", barbican, policy.MetadataRead, secret.ErrNoMetadatum, audit.Missing,
			func(l *secret.Located) error { _, err := l.Metadatum(t.Context(), "none"); return err }},
		{"a change of such", barbican, policy.MetadataWrite, secret.ErrNoMetadatum, audit.Missing,
			func(l *secret.Located) error { return l.ChangeMetadatum(t.Context(), secret.Metadatum{Key: "none"}) }},
		{"a removal of such", barbican, policy.MetadataWrite, secret.ErrNoMetadatum, audit.Missing,
			func(l *secret.Located) error { return l.RemoveMetadatum(t.Context(), "none") }},
		{"metadata that is there already", barbican, policy.MetadataWrite, secret.ErrMetadatum, audit.Refused,
			func(l *secret.Located) error { return l.AddMetadatum(t.Context(), secret.Metadatum{Key: "k"}) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			sec := r.furnish(t)
			before := r.found(t, sec.ID)
			l, err := r.Locate(t.Context(), tc.who, tc.act, secret.Anywhere(sec.ID), everything)
			if err != nil {
				t.Fatal(err)
			}
			r.record.forget()
			if err := tc.do(l); !errors.Is(err, tc.want) {
				t.Errorf("answered %v, want %v", err, tc.want)
			}
			r.record.only(t, tc.act, tc.outcome)
			if diff := cmp.Diff(before, r.found(t, sec.ID)); diff != "" {
				t.Errorf("the secret changed (-before +after):\n%s", diff)
			}
		})
	}
}

// Whoever registers gets the secret as it then is, and so does who removes.
func TestRegisterAnswersWithTheSecret(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	id := r.create(t, barbican, secret.New{Type: "opaque"}).ID
	for i, use := range []secret.Use{{Service: "a"}, {Service: "b"}, {Service: "a"}} {
		sec, err := r.locate(t, barbican, id).Register(t.Context(), use)
		if err != nil {
			t.Fatal(err)
		}
		want := r.found(t, id).Secret
		sec.Revision = want.Revision // is for the store alone
		if diff := cmp.Diff(want, sec); diff != "" || len(sec.Consumers) != min(i+1, 2) {
			t.Errorf("registered %v (-stored +answered):\n%s", use, diff)
		}
	}
	sec, err := r.locate(t, barbican, id).Unregister(t.Context(), secret.Use{Service: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.found(t, id).Secret, sec); diff != "" || len(sec.Consumers) != 1 {
		t.Errorf("removed (-stored +answered):\n%s", diff)
	}
}

// A deletion starts over where something else changed meanwhile, and sees who
// registered.
func TestDeletionSeesWhoRegistersMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	for i := range 2 {
		id := r.create(t, barbican, secret.New{Type: "opaque", Name: ptr(fmt.Sprint(i))}).ID
		l := r.locate(t, barbican, id)
		if err := r.locate(t, barbican, id).SetACL(t.Context(), secret.ACLChange{Private: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		want := error(nil)
		if i == 1 {
			want = secret.ErrInUse
			if _, err := r.locate(t, barbican, id).Register(t.Context(), secret.Use{Service: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.DeleteUnused(t.Context()); !errors.Is(err, want) {
			t.Errorf("DeleteUnused: %v, want %v", err, want)
		}
	}
}
