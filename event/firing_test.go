package event_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// What fires what, whichever way it happens (csms.md §8.3).
func TestChangesFire(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(r *room)
		want []event.Type // after the first version's
	}{
		{"nothing", func(*room) {}, nil},
		{"a version", func(r *room) { r.addVersion("s", nil) }, []event.Type{event.VersionCreated}},
		{"a stage", func(r *room) {
			_, err := r.locate("s").SetStage(r.Context(), "blue", 1)
			r.must(err)
		}, nil},
		{"an update", func(r *room) {
			text := "new"
			_, err := r.locate("s").Update(r.Context(), secret.Update{Description: &text})
			r.must(err)
		}, nil},
		{"a deletion", func(r *room) { r.must(r.locate("s").Delete(r.Context())) }, []event.Type{event.Deleted}},
		{"a deletion by Barbican's clients", func(r *room) {
			who := huawei
			who.Family = policy.KeyManager
			id := r.subject("s")
			l, err := r.secrets.Locate(r.Context(), who, policy.SecretDelete, secret.Anywhere(id), secret.Want{Consumers: true})
			r.must(err)
			r.must(l.DeleteUnused(r.Context()))
		}, []event.Type{event.Deleted}},
		{"a deletion whose time has come", func(r *room) {
			r.due("s")
			n, err := r.secrets.Purge(r.Context(), r.clock.now(), 10)
			r.must(err)
			if n != 1 {
				r.Errorf("%d purged", n)
			}
		}, []event.Type{event.Deleted}},
		{"a name that is taken over from a secret whose time has come", func(r *room) {
			r.due("s")
			r.secret("s", "")
		}, []event.Type{event.Deleted}},
		{"a rotation", func(r *room) {
			found, err := r.db.Find(r.Context(), secret.Named("p1", "s"), secret.Want{}, r.clock.now())
			r.must(err)
			r.must(r.db.Apply(r.Context(), secret.Change{Secret: found.Secret, Tell: event.Rotated}, audit.Event{ID: newEventID(), Project: "p1", At: r.clock.now()}))
		}, []event.Type{event.Rotated}},
		{"a rotation that failed", func(r *room) {
			r.must(r.db.Fire(r.Context(), event.Firing{
				ID: newEventID(), At: r.clock.now(), Project: "p1", Secret: string(r.subject("s")), Type: event.RotationFailed, Version: 1,
			}))
		}, []event.Type{event.RotationFailed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			r.event("e")
			r.secret("s", "e")
			r.secret("quiet", "")
			tc.do(r)
			want := append(slices.Clone(tc.want), event.VersionCreated)
			if diff := cmp.Diff(want, r.types()); diff != "" {
				t.Errorf("told, newest first (-want +got):\n%s", diff)
			}
			for _, n := range r.told() {
				if n.Status != event.Pending || n.Secret.Name != "s" || n.Event != "e" || n.Target.ID != topic {
					t.Errorf("told %+v", n)
				}
			}
		})
	}
}

// subject is the identifier of a secret.
func (r *room) subject(name string) secret.ID {
	r.Helper()
	found, err := r.db.Find(r.Context(), secret.Named("p1", name), secret.Want{}, r.clock.now())
	r.must(err)
	return found.Secret.ID
}

// due schedules a secret's deletion and lets its time come.
func (r *room) due(name string) {
	r.Helper()
	found, err := r.db.Find(r.Context(), secret.Named("p1", name), secret.Want{}, r.clock.now())
	r.must(err)
	at := r.clock.now().Add(time.Hour)
	found.Secret.State, found.Secret.DeleteAt = secret.PendingDelete, &at
	r.must(r.db.Apply(r.Context(), secret.Change{Secret: found.Secret}, audit.Event{ID: newEventID(), Project: "p1", At: r.clock.now()}))
	r.clock.pass(2 * time.Hour)
}

// A payload that is stored in Barbican's second step is a version, too.
func TestSecondStepFires(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	who := huawei
	who.Family = policy.KeyManager
	s, err := r.secrets.Create(t.Context(), who, secret.New{Type: "opaque", Event: "e"})
	r.must(err)
	if got := r.types(); len(got) != 0 {
		t.Errorf("a secret without a payload told %v", got)
	}
	l, err := r.secrets.Locate(t.Context(), who, policy.SecretStore, secret.Anywhere(s.ID), secret.Want{})
	r.must(err)
	r.must(l.StorePayload(t.Context(), secret.NewVersion{Payload: sensitive.Take([]byte("x")), ContentType: secret.Text}))
	if got := r.types(); !slices.Equal(got, []event.Type{event.VersionCreated}) {
		t.Errorf("told %v", got)
	}
}

// Only enabled events that have the type fire, and only for who subscribed.
func TestEventsThatDoNotFire(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("deletions", event.Deleted)
	r.event("off")
	off := event.Disabled
	_, err := r.events.Update(t.Context(), huawei, "off", event.Update{State: &off})
	r.must(err)
	r.secret("a", "deletions")
	r.secret("b", "off")
	r.secret("c", "")
	r.must(r.locate("b").Delete(t.Context()))
	if got := r.told(); len(got) != 0 {
		t.Errorf("told %+v", got)
	}
	r.must(r.locate("a").Delete(t.Context()))
	if got := r.types(); !slices.Equal(got, []event.Type{event.Deleted}) {
		t.Errorf("told %v", got)
	}
}

// Who unsubscribes while a deletion is under way, or subscribes, is counted as
// before it or after it, and nothing fails.
func TestDeletionSeesTheSubscription(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	for _, before := range []string{"", "e"} {
		r.secret("s"+before, before)
		stale := r.locate("s" + before)
		after := map[string]string{"": "e", "e": ""}[before]
		_, err := r.locate("s"+before).Update(t.Context(), secret.Update{Event: &after})
		r.must(err)
		r.must(stale.Delete(t.Context()))
	}
	// The deletion of s, then the first version of se, and not its deletion.
	if got := r.types(); !slices.Equal(got, []event.Type{event.VersionCreated, event.Deleted}) {
		t.Errorf("told, newest first, %v", got)
	}
}

// The form is the vendor's, and no value is in it.
func TestContent(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	s := r.secret("s", "e")
	until := r.clock.now().Add(time.Hour)
	r.clock.pass(1500 * time.Millisecond)
	r.addVersion("s", &until)
	r.must(r.locate("s").Delete(t.Context()))
	want := []string{
		`{"eventName":"e","eventType":"SECRET_DELETED","eventTime":"2026-05-04T12:00:01.500Z","data":{"secretId":"ID","secretName":"s","createTime":"2026-05-04T12:00:00.000Z","updateTime":"2026-05-04T12:00:01.500Z","versionId":null,"versionExpireTime":null}}`,
		`{"eventName":"e","eventType":"SECRET_VERSION_CREATED","eventTime":"2026-05-04T12:00:01.500Z","data":{"secretId":"ID","secretName":"s","createTime":"2026-05-04T12:00:00.000Z","updateTime":"2026-05-04T12:00:01.500Z","versionId":"v2","versionExpireTime":"2026-05-04T13:00:00.000Z"}}`,
		`{"eventName":"e","eventType":"SECRET_VERSION_CREATED","eventTime":"2026-05-04T12:00:00.000Z","data":{"secretId":"ID","secretName":"s","createTime":"2026-05-04T12:00:00.000Z","updateTime":"2026-05-04T12:00:00.000Z","versionId":"v1","versionExpireTime":null}}`,
	}
	var got []string
	for _, n := range r.told() {
		if !json.Valid(n.Content()) || strings.Contains(string(n.Content()), "hunter") {
			t.Errorf("content %s", n.Content())
		}
		got = append(got, strings.ReplaceAll(string(n.Content()), string(s.ID), "ID"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
}

// Two nodes that look at once tell of each expiry once; a new time is told
// again, an old one never (CSMS-159).
func TestExpiryIsToldOnce(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	const secrets = 20
	soon := r.clock.now().Add(time.Minute)
	for i := range secrets {
		name := string(rune('a' + i))
		r.secret(name, "e")
		r.addVersion(name, &soon)
	}
	r.secret("quiet", "")
	r.addVersion("quiet", &soon)
	nodes := []*event.Courier{r.courier(r.db, &receiver{}), r.courier(r.other, &receiver{})}
	expire := func(want int) {
		t.Helper()
		var wait sync.WaitGroup
		for range 5 {
			for _, c := range nodes {
				wait.Go(func() {
					if _, err := c.Expire(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wait.Wait()
		_, err := nodes[0].Expire(t.Context()) // what the others had locked just then
		r.must(err)
		n := 0
		for _, told := range r.told() {
			if told.Type == event.VersionExpired {
				n++
				if told.Version != 2 || told.VersionUntil == nil {
					t.Errorf("told %+v", told)
				}
			}
		}
		if n != want {
			t.Errorf("told of %d expiries, want %d", n, want)
		}
	}
	expire(0)
	r.clock.pass(time.Hour)
	expire(secrets)
	later := r.clock.now().Add(time.Minute)
	_, err := r.locate("a").SetExpiry(t.Context(), 2, &later)
	r.must(err)
	expire(secrets)
	r.clock.pass(time.Hour)
	expire(secrets + 1)
}

// Of many who would take the last place, one does.
func TestQuotaOfEvents(t *testing.T) {
	t.Parallel()
	r := open(t)
	s := r.service(3)
	in := func(name string) event.New {
		return event.New{Name: name, Types: event.Types, State: event.Enabled, Target: event.Target{Type: "SMN", ID: topic, Name: "t"}}
	}
	var wait sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wait.Go(func() { _, errs[i] = s.Create(t.Context(), huawei, in(string(rune('a'+i)))) })
	}
	wait.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, event.ErrFull):
			t.Error(err)
		}
	}
	all, _, err := s.List(t.Context(), huawei, "", 100)
	r.must(err)
	if made != 3 || len(all) != 3 {
		t.Errorf("%d made, %d there", made, len(all))
	}
	if n := len(r.record.events); n != 9 {
		t.Errorf("%d refusals on record, want 9", n)
	}
	if _, err := s.Create(t.Context(), huawei, in(all[0].Name)); !errors.Is(err, event.ErrNameTaken) {
		t.Errorf("a name that is taken, in a full project: %v", err)
	}
	who := huawei
	who.Project = "p2"
	if _, err := s.Create(t.Context(), who, in("a")); err != nil {
		t.Errorf("another project: %v", err)
	}
}

// What a secret is subscribed to stays, and who is refused is on record.
func TestEventInUse(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	r.secret("s", "e")
	if err := r.events.Delete(t.Context(), huawei, "e"); !errors.Is(err, event.ErrInUse) {
		t.Errorf("Delete: %v", err)
	}
	if n := len(r.record.events); n != 1 || r.record.events[0].Outcome != audit.Refused || r.record.events[0].Action != string(policy.EventDelete) {
		t.Errorf("recorded %+v", r.record.events)
	}
	none := ""
	_, err := r.locate("s").Update(t.Context(), secret.Update{Event: &none})
	r.must(err)
	r.must(r.events.Delete(t.Context(), huawei, "e"))
	if err := r.events.Delete(t.Context(), huawei, "e"); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("Delete of none: %v", err)
	}
	if _, err := r.locate("s").Update(t.Context(), secret.Update{Event: &[]string{"e"}[0]}); !errors.Is(err, secret.ErrNoEvent) {
		t.Errorf("a subscription to what is gone: %v", err)
	}
}

// A project hears of its own alone.
func TestNotificationsStayInTheirProject(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.event("e")
	r.secret("s", "e")
	other := huawei
	other.Project = auth.ProjectID("p2")
	got, _, err := r.events.Notifications(t.Context(), other, "", 10)
	if err != nil || len(got) != 0 {
		t.Errorf("another project reads %+v, %v", got, err)
	}
	if _, err := r.events.Show(t.Context(), other, "e"); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("another project's event: %v", err)
	}
}
