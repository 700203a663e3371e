package tenant_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/tenant"
)

// shelf has so many things, and breaks when it is told to.
type shelf struct {
	things, broken int
	events         []audit.Event
}

func (s *shelf) PurgeProject(_ context.Context, _ auth.ProjectID, limit int, ev audit.Event) (int, error) {
	if s.broken > 0 && len(s.events) == s.broken {
		return 0, errors.New("broken")
	}
	n := min(limit, s.things)
	s.things -= n
	s.events = append(s.events, ev)
	return n, nil
}

type notes []audit.Event

func (n *notes) Record(_ context.Context, ev audit.Event) error {
	*n = append(*n, ev)
	return nil
}

func service(t *testing.T, s tenant.Store, n *notes) *tenant.Service {
	t.Helper()
	judge, err := cedar.Load(cedar.Config{Mode: cedar.Legacy})
	if err != nil {
		t.Fatal(err)
	}
	return tenant.NewService(gate.Gate{Judge: judge, Recorder: n, NewEventID: func() string { return "ev" }, Now: time.Now}, s)
}

func TestPurgeGoesOnUntilNothingIsLeft(t *testing.T) {
	s := &shelf{things: 2500}
	n, err := service(t, s, new(notes)).Purge(t.Context(), realm.Operator(), "p")
	if n != 2500 || err != nil || s.things != 0 {
		t.Errorf("%d, %v; %d are left", n, err, s.things)
	}
	for _, ev := range s.events {
		if ev.Action != "project.purge" || ev.Target.ID != "p" {
			t.Errorf("event %+v", ev)
		}
	}
}

func TestPurgeMayBeRepeated(t *testing.T) {
	s := &shelf{things: 2500, broken: 1}
	c := service(t, s, new(notes))
	if n, err := c.Purge(t.Context(), realm.Operator(), "p"); n != 1000 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	s.broken = 0
	if n, err := c.Purge(t.Context(), realm.Operator(), "p"); n != 1500 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Nobody but the operator ends a project, and who tries is on record.
func TestPurgeIsTheOperators(t *testing.T) {
	s, n := &shelf{things: 1}, new(notes)
	c := service(t, s, n)
	for _, who := range []auth.Principal{
		{User: "u", Project: "p", Roles: []string{"admin"}, Family: policy.KeyManager},
		{User: "u", Project: "p", Roles: []string{"member"}, Family: policy.Identity},
		{},
	} {
		if _, err := c.Purge(t.Context(), who, "p"); err == nil {
			t.Errorf("%+v purged a project", who)
		}
	}
	if s.things != 1 || len(*n) != 3 {
		t.Errorf("%d things, %d refusals on record", s.things, len(*n))
	}
	for _, id := range []auth.ProjectID{"", auth.ProjectID(strings.Repeat("x", 256)), "\xff", auth.Installation} {
		if _, err := c.Purge(t.Context(), realm.Operator(), id); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.10q: %v", id, err)
		}
	}
}
