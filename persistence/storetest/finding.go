package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var finding = map[string]func(*bench){
	"FindsWhatWasCreated":             findsWhatWasCreated,
	"FindsWhatHasNoPayload":           findsWhatHasNoPayload,
	"FindHidesOtherProjects":          findHidesOtherProjects,
	"FindsNothingByABadHandle":        findsNothingByABadHandle,
	"FindsVersionsByNumberAndStage":   findsVersionsByNumberAndStage,
	"ExpiredIsGone":                   expiredIsGone,
	"DueForDeletionIsGone":            dueForDeletionIsGone,
	"UsableFollowsTheKeys":            usableFollowsTheKeys,
	"LargeCiphertextComesBackTheSame": largeCiphertextComesBackTheSame,
	"TextsComeBackTheSame":            textsComeBackTheSame,
}

// full is a secret with a value in every field.
func (b *bench) full(k kek.Version) (secret.Secret, secret.Version) {
	b.must(b.s.AddEvent(b.p, "changed"))
	s := b.secretNamed(policy.Huawei, "full_name-1")
	s.Type, s.Algorithm, s.Mode, s.BitLength = "symmetric", ptr("aes"), ptr("cbc"), ptr(256)
	s.Expiration = ptr(b.now.Add(time.Hour))
	s.Creator = "creator"
	s.State, s.DeleteAt = secret.PendingDelete, ptr(b.now.Add(2*time.Hour))
	s.Description, s.Kind, s.EnterpriseProject, s.Event = "what it is for", "RDS", "0", "changed"
	s.Rotation = secret.Rotation{
		Auto: true, Period: "1d", Config: `{"a": [1]}`, FuncURN: "urn:x",
		Last: ptr(b.now.Add(-time.Hour)), Next: ptr(b.now.Add(time.Hour)),
	}
	s.UpdatedAt = b.now.Add(time.Microsecond)
	s, v := b.sealed(s, 1, k)
	v.ExpiresAt = ptr(b.now.Add(3 * time.Hour))
	return s, v
}

func findsWhatWasCreated(b *bench) {
	k := b.kek(string(envelope.Default))
	s, v := b.full(k)
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
	v.Sealed.KEK = envelope.KEK{
		ID: k.ID, MasterKey: k.MasterKey, Group: k.Group, Format: 1, Default: true, Canary: made(k).Ref.Canary.Wrapped, Usable: true,
	}
	listed := v
	listed.Sealed = envelope.Sealed{}
	for name, h := range map[string]secret.Handle{
		"anywhere": secret.Anywhere(s.ID), "within": secret.Within(s.Project, s.ID),
		"named": secret.Named(s.Project, *s.Name), "named by UUID": secret.Named(s.Project, string(s.ID)),
	} {
		if diff := cmp.Diff(secret.Found{Secret: s}, b.find(h, secret.Want{})); diff != "" {
			b.Errorf("%s (-want +got):\n%s", name, diff)
		}
		want := secret.Found{
			Secret: s, Version: v, Versions: []secret.Version{listed},
			Stages: map[secret.Stage]secret.Mark{}, Metadata: map[string]string{},
		}
		got := b.find(h, secret.Want{Sealed: true, Versions: true, Metadata: true})
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("%s with all (-want +got):\n%s", name, diff)
		}
	}
	if n := b.rows("audit_events"); n != 1 {
		b.Errorf("%d audit events, want 1", n)
	}
}

func findsWhatHasNoPayload(b *bench) {
	s := b.createEmpty(policy.KeyManager, "")
	want := secret.Found{
		Secret: s, Versions: []secret.Version{}, Stages: map[secret.Stage]secret.Mark{}, Metadata: map[string]string{},
	}
	got := b.find(secret.Anywhere(s.ID), secret.Want{Sealed: true, Versions: true, Metadata: true})
	if len(got.Versions) == 0 {
		got.Versions = []secret.Version{} // nil will do
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

func findHidesOtherProjects(b *bench) {
	s := b.createEmpty(policy.Huawei, "mine")
	for _, h := range []secret.Handle{
		secret.Within("another", s.ID), secret.Named("another", "mine"), secret.Named("another", string(s.ID)),
	} {
		if _, err := b.s.Find(b.ctx(), h, secret.Want{}, b.now); !errors.Is(err, secret.ErrNotFound) {
			b.Errorf("Find(%v): %v, want ErrNotFound", h, err)
		}
	}
}

func findsNothingByABadHandle(b *bench) {
	s := b.createEmpty(policy.KeyManager, "")
	for _, h := range []secret.Handle{
		{}, secret.Anywhere("x"), secret.Anywhere(""), secret.Within(b.project(), "not-a-uuid"),
		secret.Anywhere(secret.ID(strings.ToUpper(string(s.ID)))), secret.Anywhere("{" + s.ID + "}"),
		secret.Named(b.project(), ""), secret.Named(b.project(), strings.ToUpper(string(s.ID))),
		secret.Named(b.project(), "ünknown"), secret.Anywhere(secret.ID(uuid.NewString())),
	} {
		if _, err := b.s.Find(b.ctx(), h, all, b.now); !errors.Is(err, secret.ErrNotFound) {
			b.Errorf("Find(%v): %v, want ErrNotFound", h, err)
		}
	}
}

func findsVersionsByNumberAndStage(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "many"), k)
	s = b.addVersion(s, 2, k, map[secret.Stage]secret.Mark{"mine": {Version: 1, Since: b.now}, secret.Pending: {Version: 2, Since: b.now}})
	for _, tc := range []struct {
		want   secret.Want
		number int
	}{
		{secret.Want{Sealed: true}, 2},
		{secret.Want{Sealed: true, Stage: secret.Current}, 2},
		{secret.Want{Sealed: true, Stage: secret.Previous}, 1},
		{secret.Want{Sealed: true, Stage: secret.Pending}, 2},
		{secret.Want{Sealed: true, Stage: "mine"}, 1},
		{secret.Want{Sealed: true, Stage: "nobody's"}, 0},
		{secret.Want{Sealed: true, Number: 1}, 1},
		{secret.Want{Sealed: true, Number: 1, Stage: secret.Current}, 1},
		{secret.Want{Sealed: true, Number: 3}, 0},
		{secret.Want{Sealed: true, Number: -1}, 0},
		{secret.Want{Sealed: true, Number: 1 << 40}, 0},
	} {
		f := b.find(secret.Within(s.Project, s.ID), tc.want)
		if f.Version.Number != tc.number {
			b.Errorf("%+v finds version %d, want %d", tc.want, f.Version.Number, tc.number)
		}
		if tc.number != 0 && (f.Version.Sealed.WrappedDEK[2] != byte(tc.number) || !f.Version.Sealed.KEK.Usable) {
			b.Errorf("%+v finds the wrong ciphertext: %+v", tc.want, f.Version)
		}
		if tc.number == 0 && !cmp.Equal(f.Version, secret.Version{}) {
			b.Errorf("%+v finds %+v, want nothing", tc.want, f.Version)
		}
	}
	f := b.find(secret.Within(s.Project, s.ID), all)
	numbers := []int{}
	for _, v := range f.Versions {
		numbers = append(numbers, v.Number)
	}
	if !slices.Equal(numbers, []int{1, 2}) || f.Stages["mine"].Version != 1 || f.Stages[secret.Pending].Version != 2 {
		b.Errorf("versions %v, stages %v", numbers, f.Stages)
	}
	if !f.Stages["mine"].Since.Equal(b.now) || len(f.Stages) != 2 {
		b.Errorf("stages %v", f.Stages)
	}
}

// gone checks that a secret does not exist for anybody.
func (b *bench) gone(s secret.Secret) {
	b.Helper()
	handles := []secret.Handle{secret.Anywhere(s.ID), secret.Within(s.Project, s.ID), secret.Named(s.Project, string(s.ID))}
	if s.Name != nil {
		handles = append(handles, secret.Named(s.Project, *s.Name))
	}
	for _, h := range handles {
		if _, err := b.s.Find(b.ctx(), h, secret.Want{}, b.now); !errors.Is(err, secret.ErrNotFound) {
			b.Errorf("Find(%v): %v, want ErrNotFound", h, err)
		}
	}
	m := secret.Metadatum{Key: "k", Value: "v"}
	for name, err := range map[string]error{
		"Apply":           b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()),
		"Delete":          b.s.Delete(b.ctx(), s, b.event()),
		"ReplaceMetadata": b.s.ReplaceMetadata(b.ctx(), s, nil, b.event()),
		"AddMetadatum":    b.s.AddMetadatum(b.ctx(), s, m, b.event()),
		"ChangeMetadatum": b.s.ChangeMetadatum(b.ctx(), s, m, b.event()),
		"RemoveMetadatum": b.s.RemoveMetadatum(b.ctx(), s, "k", b.event()),
	} {
		if !errors.Is(err, secret.ErrNotFound) {
			b.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	page, total, err := b.s.List(b.ctx(), s.Project, secret.Query{Limit: 10}, b.now)
	if b.must(err); len(page) != 0 || total != 0 {
		b.Errorf("List has %d of %d", len(page), total)
	}
	page, err = b.s.ListNamed(b.ctx(), s.Project, secret.NamedQuery{Limit: 10}, b.now)
	if b.must(err); len(page) != 0 {
		b.Errorf("ListNamed has %d", len(page))
	}
}

// A secret exists until its expiration, and not at that moment any more.
func expiredIsGone(b *bench) {
	for _, f := range []policy.Family{policy.KeyManager, policy.Huawei} {
		s := b.secretNamed(f, "short-lived-"+f.String())
		s.Expiration = ptr(b.now.Add(time.Microsecond))
		b.must(b.s.Create(b.ctx(), s, nil, b.event()))
		b.find(secret.Anywhere(s.ID), secret.Want{})
		b.now = *s.Expiration
		b.gone(s)
	}
}

func dueForDeletionIsGone(b *bench) {
	s := b.secretNamed(policy.Huawei, "due")
	s.State, s.DeleteAt = secret.PendingDelete, ptr(b.now.Add(time.Hour))
	b.must(b.s.Create(b.ctx(), s, nil, b.event()))
	b.find(secret.Anywhere(s.ID), secret.Want{})
	b.now = *s.DeleteAt
	b.gone(s)
	// Its name is free once its rows are gone, which who wants it sees to.
	again := b.secretNamed(policy.Huawei, "due")
	b.refused(again, nil, secret.ErrNameTaken)
	held, ok := errors.AsType[*secret.NameHeldError](b.s.Create(b.ctx(), again, nil, b.event()))
	if want := (secret.Ended{Project: b.project(), ID: s.ID, Name: "due"}); !ok || held.By != want {
		b.Fatalf("the name is held by %+v, want %+v", held, want)
	}
	n, err := b.s.Purge(b.ctx(), b.project(), []secret.Purged{{ID: s.ID, Event: b.event()}}, b.now)
	if b.must(err); n != 1 {
		b.Errorf("%d purged", n)
	}
	b.createEmpty(policy.Huawei, "due")
	if n := b.rows("secrets"); n != 1 {
		b.Errorf("%d secrets, want 1", n)
	}
	if n := b.rows("secret_directory"); n != 1 {
		b.Errorf("%d places in the directory, want 1", n)
	}
}

func usableFollowsTheKeys(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	for _, tc := range []struct {
		state     kek.State
		disabled  bool
		masterKey string
		usable    bool
	}{
		{kek.Active, false, "enabled", true},
		{kek.DecryptOnly, false, "enabled", true},
		{kek.Active, true, "enabled", false},
		{kek.DecryptOnly, true, "enabled", false},
		{kek.Retired, false, "enabled", false},
		{kek.Scheduled, false, "enabled", false},
		{kek.Destroying, false, "enabled", false},
		{kek.Destroyed, false, "enabled", false},
		{kek.Active, false, "disabled", false},
		{kek.Active, false, "pending_deletion", false},
	} {
		b.must(b.s.SetKEK(b.p, k.ID, tc.state, tc.disabled))
		b.must(b.s.SetMasterKey(b.p, k.MasterKey, tc.masterKey))
		f := b.find(secret.Within(s.Project, s.ID), secret.Want{Sealed: true})
		if f.Version.Sealed.KEK.Usable != tc.usable {
			b.Errorf("usable with %+v: %v", tc, f.Version.Sealed.KEK.Usable)
		}
		if f.Version.Sealed.KEK.Default {
			b.Error("a key that is not the default one says it is")
		}
	}
}

func largeCiphertextComesBackTheSame(b *bench) {
	k := b.kek("k")
	s, v := b.sealed(b.secretNamed(policy.KeyManager, ""), 1, k)
	v.Sealed.Body = make([]byte, secret.MaxPayload+28)
	for i := range v.Sealed.Body {
		v.Sealed.Body[i] = byte(i * 7)
	}
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
	f := b.find(secret.Anywhere(s.ID), secret.Want{Sealed: true})
	if !slices.Equal(f.Version.Sealed.Body, v.Sealed.Body) {
		b.Error("the body differs")
	}
}

func textsComeBackTheSame(b *bench) {
	for _, text := range []string{"", " ", `\x41`, "a'b\"c", "ünïcode \U0001F511", "%_\\", "\x01\x7f\r\n", strings.Repeat("é", 255)} {
		s := b.secretNamed(policy.KeyManager, "x")
		s.Name, s.Handle = &text, string(s.ID)
		s.Algorithm, s.Description, s.Rotation.Config = &text, text, text
		b.must(b.s.Create(b.ctx(), s, nil, b.event()))
		b.must(b.s.ReplaceMetadata(b.ctx(), s, map[string]string{text: text}, b.event()))
		f := b.find(secret.Anywhere(s.ID), secret.Want{Metadata: true})
		if diff := cmp.Diff(s, f.Secret); diff != "" {
			b.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if v, ok := f.Metadata[text]; !ok || v != text || len(f.Metadata) != 1 {
			b.Errorf("metadata of %q is %q", text, f.Metadata)
		}
	}
}
