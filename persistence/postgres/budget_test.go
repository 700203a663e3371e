package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// Every method is one round trip once its statement is prepared (DESIGN §5).
// A page past the end of a list is counted by a second one, and retiring is no
// request's business: it is a transaction of two statements.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx := t.Context()
	w.family = policy.Huawei
	s := w.fill(3)[0]
	now := time.Now()
	mk := kek.NewMasterKey{Project: string(w.project), Alias: "other", CreatedAt: now}
	var pending kek.Version
	var whole secret.Found
	n := 100
	for _, tc := range []struct {
		name  string
		trips uint64 // when warm
		do    func() error
	}{
		{"Create", 1, func() error { n++; _, err := w.create(n); return err }},
		{"Create without a payload", 1, func() error {
			e := s
			e.ID, e.Family, e.Key, e.Latest, e.LatestAt, e.Current = secret.ID(uuid.NewString()), policy.KeyManager, "", 0, time.Time{}, secret.Mark{}
			return w.db.Create(ctx, e, nil, w.event())
		}},
		{"Find anywhere with ciphertext", 1, func() error {
			_, err := w.db.Find(ctx, secret.Anywhere(s.ID), secret.Want{Sealed: true}, now)
			return err
		}},
		{"Find by name with everything", 1, func() error {
			_, err := w.db.Find(ctx, secret.Named(w.project, *s.Name), secret.Want{Sealed: true, Stage: "mine", Versions: true, Metadata: true}, now)
			return err
		}},
		{"Find every version", 1, func() (err error) {
			whole, err = w.db.Find(ctx, secret.Named(w.project, *s.Name), secret.Want{Every: true, Metadata: true}, now)
			return err
		}},
		{"Restore", 1, func() error {
			n++
			name := fmt.Sprint("restored-", n)
			whole.Secret.ID, whole.Secret.Name = secret.ID(uuid.NewString()), &name
			_, err := w.db.Restore(ctx, whole, w.event())
			return err
		}},
		{"KEK", 1, func() error { _, err := w.db.KEK(ctx, string(w.project), w.kek.ID); return err }},
		{"Apply", 1, func() error {
			v := w.version(s.Latest + 1)
			s.Latest++
			mark := secret.Mark{Version: s.Latest, Since: now}
			err := w.db.Apply(ctx, secret.Change{
				Secret: s, Add: &v, Put: map[secret.Stage]secret.Mark{"mine": mark}, Drop: []secret.Stage{"gone"}, Purge: []int{99},
				Expires: &secret.VersionExpiry{Number: 1, At: &now},
			}, w.event())
			s.Revision++
			return err
		}},
		{"Apply of tags", 1, func() error {
			err := w.db.Apply(ctx, secret.Change{Secret: s, Tags: &secret.TagChange{Put: []secret.Tag{{Key: "a"}}, Drop: []string{"b"}}}, w.event())
			s.Revision++
			return err
		}},
		{"Find with tags", 1, func() error {
			_, err := w.db.Find(ctx, secret.Named(w.project, *s.Name), secret.Want{Tags: true}, now)
			return err
		}},
		{"ProjectTags", 1, func() error { _, err := w.db.ProjectTags(ctx, w.project, now); return err }},
		{"FindTagged", 1, func() error {
			_, _, err := w.db.FindTagged(ctx, w.project, secret.TagQuery{Limit: 2, Tags: []secret.TagFilter{{Key: "a"}}}, now)
			return err
		}},
		{"FindTagged past the end", 2, func() error {
			_, _, err := w.db.FindTagged(ctx, w.project, secret.TagQuery{Limit: 2, Offset: 9, Tags: []secret.TagFilter{{Key: "a"}}}, now)
			return err
		}},
		{"count by tag", 1, func() error { _, _, err := w.db.FindTagged(ctx, w.project, secret.TagQuery{}, now); return err }},
		{"ReplaceMetadata", 1, func() error {
			return w.db.ReplaceMetadata(ctx, s, map[string]string{"a": "1", "b": "2"}, w.event())
		}},
		{"AddMetadatum", 1, func() error {
			n++
			return w.db.AddMetadatum(ctx, s, secret.Metadatum{Key: fmt.Sprint(n)}, w.event())
		}},
		{"ChangeMetadatum", 1, func() error { return w.db.ChangeMetadatum(ctx, s, secret.Metadatum{Key: "b"}, w.event()) }},
		{"RemoveMetadatum", 1, func() error { n--; return w.db.RemoveMetadatum(ctx, s, fmt.Sprint(n+1), w.event()) }},
		{"Find with consumers", 1, func() error {
			_, err := w.db.Find(ctx, secret.Anywhere(s.ID), secret.Want{Consumers: true}, now)
			return err
		}},
		{"Register", 1, func() error {
			n++
			c := secret.Consumer{ID: secret.ConsumerID(uuid.NewString()), Use: secret.Use{Service: fmt.Sprint(n)}, CreatedAt: now, UpdatedAt: now}
			_, err := w.db.Register(ctx, s, c, w.event())
			s.Revision++
			return err
		}},
		{"Consumers past the end", 1, func() error { _, _, err := w.db.Consumers(ctx, s, 2, 1000); return err }},
		{"Unregister", 1, func() error {
			n--
			return w.db.Unregister(ctx, s, secret.Use{Service: fmt.Sprint(n + 1)}, w.project, w.event())
		}},
		{"ListShared", 1, func() error {
			_, _, err := w.db.ListShared(ctx, "u", "", secret.Query{Limit: 2}, now)
			return err
		}},
		{"List with consumers", 2, func() error {
			_, _, err := w.db.List(ctx, w.project, secret.Query{Limit: 2, Consumers: true}, now)
			return err
		}},
		{"List", 1, func() error {
			_, _, err := w.db.List(ctx, w.project, secret.Query{Limit: 2}, now)
			return err
		}},
		{"List past the end", 2, func() error {
			_, _, err := w.db.List(ctx, w.project, secret.Query{Limit: 2, Offset: 1000}, now)
			return err
		}},
		{"ListNamed", 1, func() error {
			_, err := w.db.ListNamed(ctx, w.project, secret.NamedQuery{Limit: 2, After: "a"}, now)
			return err
		}},
		{"Resolve", 1, func() error { _, err := w.db.Resolve(ctx, string(w.project), envelope.Default); return err }},
		{"Lease", 1, func() error { _, err := w.db.Lease(ctx, string(w.project), envelope.Default, 1); return err }},
		{"Prepare", 1, func() (err error) {
			mk.ID = envelope.MasterKey(uuid.NewString())
			pending, err = w.db.Prepare(ctx, mk, envelope.KEKID(uuid.NewString()), now)
			return err
		}},
		{"Abandoned", 1, func() error { _, err := w.db.Abandoned(ctx, string(w.project), "other", now, now); return err }},
		{"Discard", 1, func() error { return w.db.Discard(ctx, pending) }},
		{"Ready", 1, func() error { return w.db.Ready(ctx) }},
	} {
		for _, warm := range []bool{false, true} {
			before := w.db.RoundTrips()
			if err := tc.do(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if trips := w.db.RoundTrips() - before; warm && trips != tc.trips {
				t.Errorf("%s: %d round trips, want %d", tc.name, trips, tc.trips)
			}
		}
	}
	before := w.db.RoundTrips()
	if err := w.db.Delete(ctx, s, w.event()); err != nil {
		t.Fatal(err)
	}
	if trips := w.db.RoundTrips() - before; trips != 2 { // with its preparation
		t.Errorf("Delete: %d round trips the first time, want 2", trips)
	}
}
