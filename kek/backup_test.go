package kek_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

func backup(t *testing.T, s *kek.Sealer, text string) string {
	t.Helper()
	blob, err := s.SealBackup(t.Context(), payload(text))
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// returns fails the test unless the backup opens to text.
func returns(t *testing.T, s *kek.Sealer, blob, text string) {
	t.Helper()
	got, err := s.OpenBackup(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Reveal()) != text {
		t.Errorf("opened to %q, want %q", got.Reveal(), text)
	}
}

func kekOf(t *testing.T, blob string) envelope.KEKID {
	t.Helper()
	b, err := envelope.ParseBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	return b.KEK
}

// A backup is opened by any node of the installation, and costs one call of the
// token either way.
func TestBackupComesBack(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	backup(t, r.Sealer, "the first one makes the key")
	calls := r.token.Calls()
	blob := backup(t, r.Sealer, "all versions")
	returns(t, r.node(r.token, r.store), blob, "all versions")
	if n := r.token.Calls() - calls; n != 2 {
		t.Errorf("%d token calls, want 2", n)
	}
	if strings.Contains(blob, "all versions") {
		t.Error("the content is in the blob")
	}
	if again := backup(t, r.Sealer, "all versions"); again == blob {
		t.Error("the same blob twice")
	}
}

func TestAlteredBackupDoesNotOpen(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	blob := backup(t, r.Sealer, "all versions")
	for i := range len(blob) {
		for _, c := range []byte{blob[i] + 1, blob[i] ^ 1} {
			other := []byte(blob)
			other[i] = c
			if _, err := r.OpenBackup(t.Context(), string(other)); !errors.Is(err, envelope.ErrBlob) || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("byte %d as %q: %v, want ErrBlob", i, c, err)
			}
		}
	}
	// Parts of two genuine ones do not fit together, whatever their order.
	one, two := strings.Split(blob, "."), strings.Split(backup(t, r.Sealer, "all versions"), ".")
	for i := range one {
		mixed := append(append(append([]string{}, one[:i]...), two[i]), one[i+1:]...)
		if text := strings.Join(mixed, "."); text != blob {
			if _, err := r.OpenBackup(t.Context(), text); !errors.Is(err, envelope.ErrBlob) {
				t.Errorf("part %d of another: %v, want ErrBlob", i, err)
			}
		}
	}
}

// The same token is not enough: a KEK that this installation does not know, or
// that is a project's, opens no backup.
func TestBackupOfAnotherInstallationDoesNotOpen(t *testing.T) {
	t.Parallel()
	r, other := newRoom(t), newRoom(t)
	other.Sealer = other.node(r.token, other.store)
	blob := backup(t, other.Sealer, "theirs")
	if _, err := r.OpenBackup(t.Context(), blob); !errors.Is(err, envelope.ErrBlob) {
		t.Errorf("another installation's: %v, want ErrBlob", err)
	}
	sealed := seal(t, r.Sealer, "ours", place(1))
	forged := envelope.Blob{KEK: sealed.KEK.ID, WrappedDEK: sealed.WrappedDEK, Body: sealed.Body}
	if _, err := r.OpenBackup(t.Context(), forged.Text()); !errors.Is(err, envelope.ErrBlob) {
		t.Errorf("a project's version: %v, want ErrBlob", err)
	}
}

// Blobs outlive the KEK that made them, and whatever happens to a project.
func TestBackupSurvivesRotation(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	old := backup(t, r.Sealer, "old")
	first := kekOf(t, old)
	if err := r.store.SetKEK(envelope.Installation, first, kek.DecryptOnly, false); err != nil {
		t.Fatal(err)
	}
	v := kek.Version{Project: envelope.Installation, ID: first}
	if err := r.store.Retire(t.Context(), v); fault.KindOf(err) != fault.WrongState {
		t.Errorf("Retire: %v: who knows which blobs are out there?", err)
	}
	rotate(t, r)
	fresh := r.node(r.token, r.store)
	if now := backup(t, fresh, "new"); kekOf(t, now) == first {
		t.Error("the next backup is under the old KEK")
	}
	returns(t, fresh, old, "old")

	if err := r.store.SetKEK(envelope.Installation, first, kek.DecryptOnly, true); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.OpenBackup(t.Context(), old); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("under a disabled KEK: %v, want ErrKeyUnusable", err)
	}
}

// rotate makes the next KEK for backups active.
func rotate(t *testing.T, r *room) {
	t.Helper()
	mk := kek.NewMasterKey{
		Project: envelope.Installation, ID: envelope.MasterKey(uuid.NewString()), Alias: string(envelope.Backups),
		HandedOut: true, CreatedAt: r.now.Now(),
	}
	v, err := r.store.Prepare(t.Context(), mk, envelope.KEKID(uuid.NewString()), r.now.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	id, err := key.ParseID(string(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.token.Generate(t.Context(), key.Spec{ID: id, Label: "second", CanaryAAD: envelope.ForCanary(v.ID)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Activate(t.Context(), v, made); err != nil {
		t.Fatal(err)
	}
}

// Many nodes over one database make the first backup at once: one key, of which
// the record hears from whoever made it.
func TestFirstBackupsOfManyNodesMakeOneKEK(t *testing.T) {
	t.Parallel()
	token := new(hsmtest.Memory)
	url := pgtest.URL(t)
	var mu sync.Mutex
	var heard []kek.NewMasterKey
	var nodes []*kek.Sealer
	for range 4 {
		nodes = append(nodes, kek.NewSealer(kek.Deps{
			Tokens: kek.OneGroup(token), Store: pgtest.OpenURL(t, url), NewID: uuid.NewString, Now: time.Now,
			OnDefault: func(_ context.Context, mk kek.NewMasterKey) error {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, mk)
				return nil
			},
		}))
	}
	blobs := make([]string, 16)
	errs := make([]error, len(blobs))
	var wait sync.WaitGroup
	for i := range blobs {
		wait.Go(func() { blobs[i], errs[i] = nodes[i%len(nodes)].SealBackup(t.Context(), payload(strconv.Itoa(i))) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, blob := range blobs {
		returns(t, nodes[(i+1)%len(nodes)], blob, strconv.Itoa(i))
	}
	if n := len(keys(t, token)); n != 1 {
		t.Errorf("%d keys in the token, want 1", n)
	}
	if len(heard) != 1 || heard[0].Project != envelope.Installation || heard[0].Alias != string(envelope.Backups) {
		t.Errorf("heard of %+v", heard)
	}
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	// Whatever makes a further KEK for backups and forgets the mark is stopped.
	if _, err := raw.ExecContext(t.Context(), `UPDATE keks SET handed_out = false`); err == nil {
		t.Error("a KEK of the installation may lose its mark")
	}
}
