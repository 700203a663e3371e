package secret_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// operation calls one method and returns what it revealed.
type operation struct {
	action policy.Action
	call   func(ctx context.Context, s *secret.Service, l *secret.Located, who auth.Principal) (any, error)
}

// gated has every operation: the gate comes before all of them.
var gated = map[string]operation{
	"Service.MayCreate": {policy.SecretCreate, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return nil, s.MayCreate(ctx, who)
	}},
	"Service.Create": {policy.SecretCreate, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return s.Create(ctx, who, named("another"))
	}},
	"Service.Restore": {policy.SecretCreate, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return s.Restore(ctx, who, "a blob")
	}},
	"Located.Backup": {policy.SecretBackup, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Backup(ctx)
	}},
	"Service.MayList": {policy.SecretList, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return nil, s.MayList(ctx, who)
	}},
	"Service.List": {policy.SecretList, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		page, total, err := s.List(ctx, who, secret.Query{Limit: 10})
		return []any{page, total}, err
	}},
	"Service.ListNamed": {policy.SecretList, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		page, more, err := s.ListNamed(ctx, who, secret.NamedQuery{Limit: 10})
		return []any{page, more}, err
	}},
	"Located.May": {policy.SecretShow, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.May(ctx, policy.SecretShow)
	}},
	"Located.Show": {policy.SecretShow, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Show(ctx)
	}},
	"Located.Reveal": {policy.SecretReveal, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Reveal(ctx)
	}},
	"Located.Versions": {policy.VersionList, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Versions(ctx)
	}},
	"Located.Stage": {policy.StageShow, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Stage(ctx, secret.Current)
	}},
	"Located.StorePayload": {policy.SecretStore, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.StorePayload(ctx, version("new"))
	}},
	"Located.AddVersion": {policy.VersionAdd, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.AddVersion(ctx, version("new"))
	}},
	"Located.SetStage": {policy.StageUpdate, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.SetStage(ctx, "blue", 1)
	}},
	"Located.DropStage": {policy.StageDelete, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.DropStage(ctx, "own")
	}},
	"Located.SetExpiry": {policy.VersionUpdate, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.SetExpiry(ctx, secret.CurrentVersion, nil)
	}},
	"Located.Update": {policy.SecretUpdate, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Update(ctx, secret.Update{Description: ptr("new")})
	}},
	"Located.Delete": {policy.SecretDelete, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.Delete(ctx)
	}},
	"Located.DeleteUnused": {policy.SecretDelete, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.DeleteUnused(ctx)
	}},
	"Located.Schedule": {policy.SecretSchedule, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Schedule(ctx, 7*24*time.Hour)
	}},
	"Located.Unschedule": {policy.SecretUnschedule, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Unschedule(ctx)
	}},
	"Service.RevealMany": {policy.SecretRevealMany, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return s.RevealMany(ctx, who, []string{"a"})
	}},
	"Service.MayPassword": {policy.PasswordGenerate, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return nil, s.MayPassword(ctx, who)
	}},
	"Service.Password": {policy.PasswordGenerate, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return s.Password(ctx, who, secret.PasswordRules{})
	}},
	"Located.Tags": {policy.TagList, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Tags(ctx)
	}},
	"Located.BeginRotation": {policy.SecretRotate, func(ctx context.Context, s *secret.Service, l *secret.Located, who auth.Principal) (any, error) {
		return l.BeginRotation(ctx, secret.Renewal{
			May: func(secret.Secret) error { return nil },
			Next: func(secret.Secret, sensitive.Bytes) (sensitive.Bytes, error) {
				return sensitive.Take([]byte("next")), nil
			},
			Write: func(context.Context, secret.Change, audit.Event) error { return nil },
		})
	}},
	"Located.AddTag": {policy.TagAdd, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.AddTag(ctx, secret.Tag{Key: "new"})
	}},
	"Located.RemoveTag": {policy.TagRemove, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.RemoveTag(ctx, "env")
	}},
	"Located.ChangeTags": {policy.TagBatch, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.ChangeTags(ctx, secret.TagChange{Drop: []string{"env"}})
	}},
	"Service.ProjectTags": {policy.TagListProject, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return s.ProjectTags(ctx, who)
	}},
	"Service.MayFindTagged": {policy.TagFind, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		return nil, s.MayFindTagged(ctx, who)
	}},
	"Service.FindTagged": {policy.TagFind, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		page, total, err := s.FindTagged(ctx, who, secret.TagQuery{Limit: 10})
		return []any{page, total}, err
	}},
	"Service.ListShared": {policy.SecretList, func(ctx context.Context, s *secret.Service, _ *secret.Located, who auth.Principal) (any, error) {
		page, total, err := s.ListShared(ctx, who, "", secret.Query{Limit: 10})
		return []any{page, total}, err
	}},
	"Located.ACL": {policy.SecretACLRead, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.ACL(ctx)
	}},
	"Located.SetACL": {policy.SecretACLWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.SetACL(ctx, secret.ACLChange{Private: ptr(true)})
	}},
	"Located.PatchACL": {policy.SecretACLWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.PatchACL(ctx, secret.ACLChange{Private: ptr(true)})
	}},
	"Located.DropACL": {policy.SecretACLDrop, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.DropACL(ctx)
	}},
	"Located.Consumers": {policy.ConsumerList, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		page, total, err := l.Consumers(ctx, 10, 0)
		return []any{page, total}, err
	}},
	"Located.Consumer": {policy.ConsumerList, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Consumer(ctx, consumerOne)
	}},
	"Located.Register": {policy.ConsumerAdd, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Register(ctx, secret.Use{Service: "volume"})
	}},
	"Located.Unregister": {policy.ConsumerRemove, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Unregister(ctx, secret.Use{Service: "image"})
	}},
	"Located.Metadata": {policy.MetadataRead, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Metadata(ctx)
	}},
	"Located.Metadatum": {policy.MetadataRead, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return l.Metadatum(ctx, "k")
	}},
	"Located.ReplaceMetadata": {policy.MetadataWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.ReplaceMetadata(ctx, map[string]string{"a": "b"})
	}},
	"Located.AddMetadatum": {policy.MetadataWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.AddMetadatum(ctx, secret.Metadatum{Key: "a", Value: "b"})
	}},
	"Located.ChangeMetadatum": {policy.MetadataWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.ChangeMetadatum(ctx, secret.Metadatum{Key: "k", Value: "b"})
	}},
	"Located.RemoveMetadatum": {policy.MetadataWrite, func(ctx context.Context, _ *secret.Service, l *secret.Located, _ auth.Principal) (any, error) {
		return nil, l.RemoveMetadatum(ctx, "k")
	}},
}

// open are the methods that answer without a decision, and why that is right.
var open = map[string]string{
	"Service.Locate":         "tells only that a secret exists; what a miss tells is a test of its own",
	"Service.Trespass":       "is itself a refusal",
	"Service.Purge":          "is nobody's request: what it removes does not exist for anyone",
	"Located.Handle":         "is what the caller said",
	"Service.LocateToRotate": "is nobody's request: the program itself is who acts, and all it does is recorded",
	"Located.Secret":         "is zero for a caller's",
	"Located.RevealToRotate": "is refused to a caller's",
	"Located.EndRotation":    "is refused to a caller's",
	"Located.PutOffRotation": "is refused to a caller's",
	"Located.HasPayload":     "is known from the content types, which are asked for after the gate",
}

func TestEveryMethodIsInTheTable(t *testing.T) {
	t.Parallel()
	methods := map[string]bool{}
	for _, typ := range []reflect.Type{reflect.TypeFor[*secret.Service](), reflect.TypeFor[*secret.Located]()} {
		for m := range typ.Methods() {
			methods[typ.Elem().Name()+"."+m.Name] = true
		}
	}
	for name := range methods {
		_, asks := gated[name]
		_, tells := open[name]
		if asks == tells {
			t.Errorf("%s is in no table of operations, or in both: does it ask the gate?", name)
		}
	}
	for name := range gated {
		if !methods[name] {
			t.Errorf("%s is in the table and does not exist", name)
		}
	}
}

// A judge that denies everything: each operation says so, records it, and has
// neither changed nor told anything.
func TestRefusalIsRecorded(t *testing.T) {
	t.Parallel()
	for name, op := range gated {
		for _, who := range []auth.Principal{huawei, barbican} {
			t.Run(name+" for "+who.Family.String(), func(t *testing.T) {
				t.Parallel()
				r := newRoom(t, nil)
				sec := r.furnish(t)
				before, rows, calls := r.found(t, sec.ID), r.rows(t), r.token.Calls()
				l := r.locate(t, who, sec.ID)
				r.record.forget()
				r.judge.all = true

				told, err := op.call(t.Context(), r.Service, l, who)
				if !errors.Is(err, secret.ErrDenied) {
					t.Errorf("answered %v, want ErrDenied", err)
				}
				if !nothing(told) {
					t.Errorf("told %+v", told)
				}
				ev := r.record.only(t, op.action, audit.Denied)
				if ev.Initiator.User != "u1" || ev.Request != who.Request || ev.Family != who.Family.String() || ev.Target.Project != "p1" || len(ev.Reason) == 0 {
					t.Errorf("recorded %+v", ev)
				}
				if diff := cmp.Diff(before, r.found(t, sec.ID)); diff != "" {
					t.Errorf("the secret changed (-before +after):\n%s", diff)
				}
				if diff := cmp.Diff(rows, r.rows(t)); diff != "" {
					t.Errorf("the store changed (-before +after):\n%s", diff)
				}
				if r.token.Calls() != calls {
					t.Error("the token was asked")
				}
			})
		}
	}
}

// A refusal that cannot be recorded is still no answer.
func TestUnrecordedRefusalTellsNothing(t *testing.T) {
	t.Parallel()
	for name, op := range gated {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			sec := r.furnish(t)
			before := r.found(t, sec.ID)
			l := r.locate(t, huawei, sec.ID)
			r.judge.all, r.record.err = true, errRecord
			told, err := op.call(t.Context(), r.Service, l, huawei)
			if !errors.Is(err, errRecord) || errors.Is(err, secret.ErrDenied) || !nothing(told) {
				t.Errorf("answered %v and %+v", err, told)
			}
			if diff := cmp.Diff(before, r.found(t, sec.ID)); diff != "" {
				t.Errorf("the secret changed (-before +after):\n%s", diff)
			}
		})
	}
}

// furnish makes a secret that every operation could do something with.
func (r *room) furnish(t *testing.T) secret.Secret {
	t.Helper()
	sec := r.create(t, huawei, named("a"))
	if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("v2", secret.Current, "own")); err != nil {
		t.Fatal(err)
	}
	if err := r.locate(t, barbican, sec.ID).AddMetadatum(t.Context(), secret.Metadatum{Key: "k", Value: "v"}); err != nil {
		t.Fatal(err)
	}
	if err := r.locate(t, barbican, sec.ID).SetACL(t.Context(), secret.ACLChange{Readers: &[]auth.UserID{"u1", "u2"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.locate(t, huawei, sec.ID).AddTag(t.Context(), secret.Tag{Key: "env", Value: "prod"}); err != nil {
		t.Fatal(err)
	}
	c := secret.Consumer{ID: consumerOne, Use: secret.Use{Service: "image"}, Registrar: "p1"}
	if _, err := r.store.Register(t.Context(), sec, c, audit.Event{ID: "e", At: r.now()}); err != nil {
		t.Fatal(err)
	}
	return sec
}

// consumerOne is who needs the secret that furnish makes.
const consumerOne = "0a1b2c3d-0000-4000-8000-00000000000c"

func (r *room) rows(t *testing.T) map[string]int {
	t.Helper()
	n, err := r.store.Rows("p1")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nothing reports whether an answer, or each of several, is empty.
func nothing(told any) bool {
	if several, ok := told.([]any); ok {
		for _, one := range several {
			if !nothing(one) {
				return false
			}
		}
		return true
	}
	return told == nil || reflect.ValueOf(told).IsZero()
}

func TestMissIsRecorded(t *testing.T) {
	t.Parallel()
	const id = "0a1b2c3d-0000-4000-8000-000000000001"
	for _, tc := range []struct {
		name    string
		who     auth.Principal
		handle  secret.Handle
		denied  bool
		want    error
		outcome audit.Outcome
	}{
		{"Barbican", barbican, secret.Anywhere(id), false, secret.ErrNotFound, audit.Missing},
		// Barbican tells a miss first (barbican.md §6.2) …
		{"Barbican without rights", barbican, secret.Anywhere(id), true, secret.ErrNotFound, audit.Missing},
		{"CSMS", huawei, secret.Named("p1", "nobody"), false, secret.ErrNotFound, audit.Missing},
		// … and CSMS decides first (csms.md §10).
		{"CSMS without rights", huawei, secret.Named("p1", "nobody"), true, secret.ErrDenied, audit.Denied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			r.judge.all = tc.denied
			l, err := r.Locate(t.Context(), tc.who, policy.SecretReveal, tc.handle, secret.Want{Sealed: true})
			if !errors.Is(err, tc.want) || l != nil {
				t.Errorf("Locate: %v, want %v", err, tc.want)
			}
			ev := r.record.only(t, policy.SecretReveal, tc.outcome)
			if ev.Target.ID+ev.Target.Name != string(tc.handle.ID)+tc.handle.Name {
				t.Errorf("recorded target %+v", ev.Target)
			}
			r.record.err = errRecord
			if _, err := r.Locate(t.Context(), tc.who, policy.SecretReveal, tc.handle, secret.Want{}); !errors.Is(err, errRecord) || errors.Is(err, tc.want) {
				t.Errorf("a miss that cannot be recorded: %v", err)
			}
		})
	}
}

// The record comes before the payload: one that we could not account for stays
// closed.
func TestUnrecordedReadStaysClosed(t *testing.T) {
	t.Parallel()
	var s *sealer
	r := newRoom(t, func(r *room, d *secret.Deps) {
		s = &sealer{BackupSealer: r.sealer}
		d.Sealer = s
	})
	sec := r.create(t, huawei, named("a"))
	r.record.err = errRecord
	calls := r.token.Calls()
	got, err := r.locate(t, huawei, sec.ID).Reveal(t.Context())
	if !errors.Is(err, errRecord) || got.Payload.Len() != 0 {
		t.Errorf("Reveal = %d bytes, %v", got.Payload.Len(), err)
	}
	if s.opens.Load() != 0 || r.token.Calls() != calls {
		t.Error("the payload was opened before it was recorded")
	}
	r.record.err = nil
	r.record.forget()
	r.reads(t, sec.ID, "v1 of a")
	if ev := r.record.only(t, policy.SecretReveal, audit.Success); ev.Target.Version != "v1" || ev.Target.ID != string(sec.ID) {
		t.Errorf("recorded %+v", ev.Target)
	}
}

// A token that is away after the record was made is an error like any other,
// and the record says that somebody was let read.
func TestReadThatDoesNotOpenIsOnRecord(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	r.token.SetAway(true)
	if _, err := r.locate(t, huawei, sec.ID).Reveal(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Reveal without a token: %v", err)
	}
	r.record.only(t, policy.SecretReveal, audit.Success)
}

// Each change is one event, kept with the change by the store, and none in the
// local log besides.
func TestChangesAreRecordedWithTheChange(t *testing.T) {
	t.Parallel()
	changes := map[string]bool{
		"Service.Create": true, "Located.AddVersion": true, "Located.SetStage": true, "Located.DropStage": true,
		"Located.SetExpiry": true, "Located.Update": true, "Located.Delete": true, "Located.ReplaceMetadata": true,
		"Located.AddMetadatum": true, "Located.ChangeMetadatum": true, "Located.RemoveMetadatum": true,
		"Located.SetACL": true, "Located.PatchACL": true, "Located.DropACL": true,
		"Located.Register": true, "Located.Unregister": true,
		"Located.Schedule": true, "Located.AddTag": true, "Located.RemoveTag": true, "Located.ChangeTags": true,
	}
	for name, op := range gated {
		switch name {
		case "Located.StorePayload", "Located.DeleteUnused", "Located.Unschedule", "Service.Restore":
			continue // refused here: the secret has a payload and a consumer, and is to stay, and the blob is none
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			sec := r.furnish(t)
			l := r.locate(t, huawei, sec.ID)
			before := len(r.store.Events())
			r.record.forget()
			if _, err := op.call(t.Context(), r.Service, l, huawei); err != nil {
				t.Fatal(err)
			}
			events := r.store.Events()[before:]
			switch {
			case !changes[name]:
				if len(events) != 0 {
					t.Errorf("a read left %+v in the store", events)
				}
			case len(events) != 1 || len(r.record.events) != 0:
				t.Errorf("%d events in the store and %d in the log, want 1 and none", len(events), len(r.record.events))
			default:
				if ev := events[0]; ev.Action != string(op.action) || ev.Outcome != audit.Success || ev.Initiator.Name != "alice" {
					t.Errorf("recorded %+v", ev)
				}
			}
		})
	}
}

func TestTrespassIsOnRecord(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	if err := r.Trespass(t.Context(), huawei, "p2", secret.ErrDenied); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("Trespass: %v", err)
	}
	if ev := r.record.only(t, policy.ProjectEnter, audit.Denied); ev.Project != "p2" || ev.Initiator.Project != "p1" {
		t.Errorf("recorded %+v", ev)
	}
}

// What the program itself does with a secret is refused to a caller's Located,
// whatever the judge says.
func TestRotationIsTheProgramsOwn(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	name := "demo"
	sec, err := r.Create(t.Context(), auth.Principal{User: "u", Project: "p", Family: policy.Huawei}, secret.New{
		Name: &name, Payload: sensitive.Take([]byte("x")), ContentType: secret.Text,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.Locate(t.Context(), auth.Principal{User: "u", Project: "p"}, policy.SecretRotate, secret.Within("p", sec.ID), secret.Want{Sealed: true, Versions: true})
	if err != nil {
		t.Fatal(err)
	}
	write := func(context.Context, secret.Change, audit.Event) error {
		t.Error("written")
		return nil
	}
	_, revealed := l.RevealToRotate(t.Context())
	for what, err := range map[string]error{
		"reveal": revealed, "end": l.EndRotation(t.Context(), 1, secret.Ending{Write: write}), "put off": l.PutOffRotation(t.Context(), write),
	} {
		if !errors.Is(err, secret.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if l.Secret().ID != "" {
		t.Error("a caller sees the secret without asking")
	}
}
