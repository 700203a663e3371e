package storetest

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var using = map[string]func(*bench){
	"ConsumersAreReadAndPaged":     consumersAreReadAndPaged,
	"ConsumerIsRegisteredOnce":     consumerIsRegisteredOnce,
	"ConsumersAreToldApart":        consumersAreToldApart,
	"UnregisterIsForTwoProjects":   unregisterIsForTwoProjects,
	"DeleteTakesConsumersAlong":    deleteTakesConsumersAlong,
	"DeleteUnusedWantsNoConsumer":  deleteUnusedWantsNoConsumer,
	"RegisterRacesWithItself":      registerRacesWithItself,
	"RegisterRacesWithDeletion":    registerRacesWithDeletion,
	"ListShowsEachOnesConsumers":   listShowsEachOnesConsumers,
	"ConsumersOfTheDeadAreMissing": consumersOfTheDeadAreMissing,
}

// consumer is one that was not registered yet, by the bench's project.
func (b *bench) consumer(resource string) secret.Consumer {
	b.tick()
	return secret.Consumer{
		ID: secret.ConsumerID(uuid.NewString()), Use: secret.Use{Service: "image", ResourceType: "image", ResourceID: resource},
		Registrar: b.project(), CreatedAt: b.now, UpdatedAt: b.now,
	}
}

func (b *bench) register(s secret.Secret, c secret.Consumer) secret.Consumer {
	b.Helper()
	fresh, err := b.s.Register(b.ctx(), s, c, b.event())
	if b.must(err); !fresh {
		b.Fatalf("%+v is there already", c.Use)
	}
	return c
}

// hasConsumers checks them as a read of the secret has them.
func (b *bench) hasConsumers(s secret.Secret, want ...secret.Consumer) {
	b.Helper()
	got := b.find(secret.Anywhere(s.ID), secret.Want{Consumers: true}).Secret.Consumers
	if diff := cmp.Diff(append([]secret.Consumer{}, want...), got); diff != "" {
		b.Errorf("consumers (-want +got):\n%s", diff)
	}
}

func consumersAreReadAndPaged(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	b.hasConsumers(s)
	if got := b.find(secret.Anywhere(s.ID), secret.Want{}).Secret.Consumers; got != nil {
		b.Errorf("consumers that nobody asked for: %v", got)
	}
	b.register(b.createEmpty(policy.KeyManager, "other"), b.consumer("other"))
	var all []secret.Consumer
	for _, resource := range []string{"c", "a", "b"} {
		all = append(all, b.register(s, b.consumer(resource)))
	}
	b.hasConsumers(s, all...)
	for _, tc := range []struct{ limit, offset, from, to int }{
		{10, 0, 0, 3}, {2, 0, 0, 2}, {2, 1, 1, 3}, {1, 2, 2, 3}, {5, 3, 3, 3}, {5, 1 << 40, 3, 3},
	} {
		page, total, err := b.s.Consumers(b.ctx(), s, tc.limit, tc.offset)
		b.must(err)
		if diff := cmp.Diff(append([]secret.Consumer{}, all[tc.from:tc.to]...), append([]secret.Consumer{}, page...)); diff != "" || total != 3 {
			b.Errorf("%+v: total %d (-want +got):\n%s", tc, total, diff)
		}
	}
}

// Once more changes nothing, whoever says so; after its removal it is another
// one.
func consumerIsRegisteredOnce(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	first := b.register(s, b.consumer("r"))
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.Revision != 1 || !f.Secret.UpdatedAt.Equal(first.CreatedAt) {
		b.Errorf("registering left %+v", f.Secret)
	}
	before, err := b.s.Rows(b.p)
	b.must(err)
	again := b.consumer("r")
	again.Registrar = "another project"
	fresh, err := b.s.Register(b.ctx(), s, again, b.event())
	if b.must(err); fresh {
		b.Error("it was registered twice")
	}
	b.hasConsumers(s, first)
	after, err := b.s.Rows(b.p)
	b.must(err)
	f := b.find(secret.Anywhere(s.ID), secret.Want{})
	if diff := cmp.Diff(before, after); diff != "" || f.Secret.Revision != 1 || !f.Secret.UpdatedAt.Equal(first.CreatedAt) {
		b.Errorf("once more left %+v (-before +after):\n%s", f.Secret, diff)
	}
	b.must(b.s.Unregister(b.ctx(), s, first.Use, b.project(), b.event()))
	b.hasConsumers(s)
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.Revision != 1 || !f.Secret.UpdatedAt.Equal(first.CreatedAt) {
		b.Errorf("the removal left %+v", f.Secret)
	}
	b.hasConsumers(s)
	b.hasConsumers(s, b.register(s, again))
}

func consumersAreToldApart(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	long := strings.Repeat("\U0001F511", 255)
	var all []secret.Consumer
	for _, u := range []secret.Use{
		{Service: "a", ResourceType: "b", ResourceID: "c"}, {Service: "ab", ResourceType: "", ResourceID: "c"},
		{Service: "A", ResourceType: "b", ResourceID: "c"}, {Service: "b", ResourceType: "a", ResourceID: "c"},
		{Service: "a", ResourceType: "b", ResourceID: "c "}, {Service: long, ResourceType: long, ResourceID: long},
		{Service: `"`, ResourceType: `\`, ResourceID: "null"},
	} {
		c := b.consumer("")
		c.Use = u
		all = append(all, b.register(s, c))
	}
	b.hasConsumers(s, all...)
}

func unregisterIsForTwoProjects(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	c := b.consumer("r")
	c.Registrar = "guest"
	b.register(s, c)
	before := b.rows("audit_events")
	for _, tc := range []struct {
		by   auth.ProjectID
		use  secret.Use
		want error
	}{
		{"stranger", c.Use, secret.ErrConsumerForeign},
		{"stranger", b.consumer("other").Use, secret.ErrNoConsumer},
		{b.project(), b.consumer("other").Use, secret.ErrNoConsumer},
		{"guest", b.consumer("other").Use, secret.ErrNoConsumer},
	} {
		if err := b.s.Unregister(b.ctx(), s, tc.use, tc.by, b.event()); !errors.Is(err, tc.want) {
			b.Errorf("%s %+v: %v, want %v", tc.by, tc.use, err, tc.want)
		}
	}
	b.hasConsumers(s, c)
	if n := b.rows("audit_events"); n != before {
		b.Errorf("%d refusals are recorded as changes", n-before)
	}
	b.must(b.s.Unregister(b.ctx(), s, c.Use, "guest", b.event()))
	b.register(s, c)
	b.must(b.s.Unregister(b.ctx(), s, c.Use, b.project(), b.event()))
	b.hasConsumers(s)
	if err := b.s.Unregister(b.ctx(), s, c.Use, b.project(), b.event()); !errors.Is(err, secret.ErrNoConsumer) {
		b.Errorf("once more: %v", err)
	}
}

func deleteTakesConsumersAlong(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	for _, resource := range strings.Split("abcdefghijklm", "") {
		b.register(s, b.consumer(resource))
	}
	b.must(b.s.Delete(b.ctx(), s, b.event()))
	if n := b.rows("secret_consumers"); n != 0 {
		b.Errorf("%d consumers are left", n)
	}
}

func deleteUnusedWantsNoConsumer(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	c := b.register(s, b.consumer("r"))
	for range 2 { // whatever the revision
		if err := b.s.DeleteUnused(b.ctx(), s, b.event()); !errors.Is(err, secret.ErrInUse) {
			b.Errorf("DeleteUnused of a used secret: %v", err)
		}
		s.Revision++
	}
	b.hasConsumers(s, c)
	b.must(b.s.Unregister(b.ctx(), s, c.Use, b.project(), b.event()))
	if err := b.s.DeleteUnused(b.ctx(), s, b.event()); !errors.Is(err, secret.ErrStale) {
		b.Errorf("DeleteUnused from another revision: %v", err)
	}
	s = b.find(secret.Anywhere(s.ID), secret.Want{}).Secret
	before := b.rows("audit_events")
	b.must(b.s.DeleteUnused(b.ctx(), s, b.event()))
	if n := b.rows("secrets") + b.rows("secret_directory"); n != 0 || b.rows("audit_events") != before+1 {
		b.Errorf("%d rows are left", n)
	}
	if err := b.s.DeleteUnused(b.ctx(), s, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("once more: %v", err)
	}
}

func registerRacesWithItself(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	const racers = 10
	var won atomic.Int64
	same := make([]secret.Consumer, racers)
	for i := range same {
		same[i] = b.consumer("same")
	}
	for i, err := range race(racers, func(i int) error {
		fresh, err := b.s.Register(b.ctx(), s, same[i], b.event())
		if fresh {
			won.Add(1)
		}
		return err
	}) {
		if err != nil {
			b.Errorf("racer %d: %v", i, err)
		}
	}
	if n := b.rows("secret_consumers"); won.Load() != 1 || n != 1 {
		b.Errorf("%d registered it, and it is there %d times", won.Load(), n)
	}
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.Revision != 1 {
		b.Errorf("revision %d", f.Secret.Revision)
	}
}

// A secret with a consumer is never deleted as unused, however close they are;
// where it is deleted, nobody is told that it has a consumer.
func registerRacesWithDeletion(b *bench) {
	for round := range 20 {
		s := b.createEmpty(policy.KeyManager, "s")
		c := b.consumer("r")
		errs := race(2, func(i int) error {
			if i == round%2 {
				return b.s.DeleteUnused(b.ctx(), s, b.event())
			}
			_, err := b.s.Register(b.ctx(), s, c, b.event())
			return err
		})
		deleted, registered := errs[round%2], errs[1-round%2]
		switch {
		case deleted == nil && errors.Is(registered, secret.ErrNotFound):
		case registered == nil && (errors.Is(deleted, secret.ErrInUse) || errors.Is(deleted, secret.ErrStale)):
			b.hasConsumers(s, c)
		default:
			b.Errorf("deleted: %v, registered: %v", deleted, registered)
		}
	}
	if n, of := b.rows("secret_consumers"), b.rows("secrets"); n != of {
		b.Errorf("%d consumers of %d secrets", n, of)
	}
}

func listShowsEachOnesConsumers(b *bench) {
	want := map[secret.ID][]secret.Consumer{}
	for i, name := range []string{"a", "b", "c"} {
		s := b.createEmpty(policy.KeyManager, name)
		want[s.ID] = []secret.Consumer{}
		for range i {
			want[s.ID] = append(want[s.ID], b.register(s, b.consumer(uuid.NewString())))
		}
	}
	page, _, err := b.s.List(b.ctx(), b.project(), secret.Query{Limit: 10, Consumers: true}, b.now)
	b.must(err)
	got := map[secret.ID][]secret.Consumer{}
	for _, s := range page {
		got[s.ID] = s.Consumers
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
	page, _, err = b.s.List(b.ctx(), b.project(), secret.Query{Limit: 10}, b.now)
	b.must(err)
	for _, s := range page {
		if s.Consumers != nil {
			b.Errorf("consumers that nobody asked for: %v", s.Consumers)
		}
	}
}

func consumersOfTheDeadAreMissing(b *bench) {
	s := b.secretNamed(policy.KeyManager, "s")
	s.Expiration = ptr(b.tick())
	b.must(b.s.Create(b.ctx(), s, nil, b.event()))
	c := b.consumer("r")
	if _, err := b.s.Register(b.ctx(), s, c, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("Register: %v", err)
	}
	if err := b.s.Unregister(b.ctx(), s, c.Use, b.project(), b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("Unregister: %v", err)
	}
	if err := b.s.DeleteUnused(b.ctx(), s, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("DeleteUnused: %v", err)
	}
	s.Project = "another project"
	s.Expiration = nil
	if _, err := b.s.Register(b.ctx(), s, c, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("Register in another project: %v", err)
	}
}
