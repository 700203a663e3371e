package secret_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

func (r *room) tags(t *testing.T, id secret.ID) []secret.Tag {
	t.Helper()
	tags, err := r.locate(t, huawei, id).Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

// Thirty who each add a tag to a secret that has room for twenty: twenty do.
func TestTagsAreLimitedUnderRaces(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	var added, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 30 {
		l := r.locate(t, huawei, sec.ID)
		wg.Go(func() {
			switch err := l.AddTag(t.Context(), secret.Tag{Key: fmt.Sprint(i)}); {
			case err == nil:
				added.Add(1)
			case errors.Is(err, secret.ErrManyTags):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if added.Load() != secret.MaxTags || refused.Load() != 10 || len(r.tags(t, sec.ID)) != secret.MaxTags {
		t.Errorf("%d added, %d refused, %d there", added.Load(), refused.Load(), len(r.tags(t, sec.ID)))
	}
	// A key that is there needs no room, and one that goes makes some.
	l := r.locate(t, huawei, sec.ID)
	have := r.tags(t, sec.ID)
	if err := l.AddTag(t.Context(), secret.Tag{Key: have[0].Key, Value: "new"}); err != nil {
		t.Errorf("a new value: %v", err)
	}
	swap := secret.TagChange{Put: []secret.Tag{{Key: "x"}}, Drop: []string{have[1].Key}}
	if err := r.locate(t, huawei, sec.ID).ChangeTags(t.Context(), swap); err != nil {
		t.Errorf("one for another: %v", err)
	}
	r.record.forget()
	two := secret.TagChange{Put: []secret.Tag{{Key: "x", Value: "1"}, {Key: "y"}}}
	if err := r.locate(t, huawei, sec.ID).ChangeTags(t.Context(), two); !errors.Is(err, secret.ErrManyTags) {
		t.Errorf("a batch that is one too many: %v", err)
	}
	r.record.only(t, policy.TagBatch, audit.Refused)
	for _, tag := range r.tags(t, sec.ID) {
		if tag == two.Put[0] {
			t.Error("half of a batch was done")
		}
	}
	r.record.forget()
	if err := r.locate(t, huawei, sec.ID).RemoveTag(t.Context(), "nobody"); !errors.Is(err, secret.ErrNoTag) {
		t.Errorf("removing what is not there: %v", err)
	}
	r.record.only(t, policy.TagRemove, audit.Missing)
}

// Each value is on record by itself, and what cannot be read is left out.
func TestRevealMany(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	for _, name := range []string{"a", "b", "off"} {
		r.create(t, huawei, named(name))
	}
	off, err := r.Locate(t.Context(), huawei, policy.SecretShow, secret.Named("p1", "off"), secret.Want{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := off.Schedule(t.Context(), 7*day); err != nil {
		t.Fatal(err)
	}
	r.record.forget()
	calls := r.token.Calls()
	got, err := r.RevealMany(t.Context(), huawei, []string{"b", "none", "off", "a"})
	if err != nil || len(got) != 2 || string(got[0].Payload.Reveal()) != "v1 of b" || string(got[1].Payload.Reveal()) != "v1 of a" {
		t.Fatalf("%d payloads, %v", len(got), err)
	}
	if n := r.token.Calls() - calls; n != 2 {
		t.Errorf("%d calls of the token for two payloads", n)
	}
	var outcomes []audit.Outcome
	for _, ev := range r.record.events {
		if outcomes = append(outcomes, ev.Outcome); ev.Action != string(policy.SecretRevealMany) {
			t.Errorf("recorded %+v", ev)
		}
	}
	if fmt.Sprint(outcomes) != "[success missing refused success]" {
		t.Errorf("recorded %v", outcomes)
	}
	r.token.SetAway(true)
	if got, err := r.RevealMany(t.Context(), huawei, []string{"a"}); fault.KindOf(err) != fault.Unavailable || got != nil {
		t.Errorf("without a token: %v, %v", got, err)
	}
}
