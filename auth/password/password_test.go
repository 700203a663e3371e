package password_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func text(s string) sensitive.Bytes { return sensitive.Take([]byte(s)) }

func TestVerifiesWhatItHashed(t *testing.T) {
	t.Parallel()
	h, err := password.New(1)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.Hash(t.Context(), text("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash begins %.32q", hash)
	}
	again, err := h.Hash(t.Context(), text("correct horse"))
	if err != nil || again == hash {
		t.Errorf("two hashes of one password are equal, err %v", err)
	}
	for _, tc := range []struct {
		name, password, hash string
		want                 bool
	}{
		{"the password", "correct horse", hash, true},
		{"another password", "correct horsf", hash, false},
		{"an empty password", "", hash, false},
		{"a user without password", "", "", false},
		{"nobody", "correct horse", "", false},
	} {
		got, err := h.Verify(t.Context(), text(tc.password), tc.hash)
		if err != nil || got != tc.want {
			t.Errorf("%s: %v, %v; want %v", tc.name, got, err, tc.want)
		}
	}
	if _, err := h.Verify(t.Context(), text("x"), "$argon2id$nonsense"); fault.KindOf(err) != fault.Damaged {
		t.Errorf("an unreadable hash: %v", err)
	}
}

// Whoever finds no place before the deadline is told to come back.
func TestHashesAreBounded(t *testing.T) {
	t.Parallel()
	h, err := password.New(1)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 64)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range cap(done) {
		go func() {
			_, err := h.Verify(ctx, text("x"), "")
			done <- err
		}()
	}
	busy := 0
	for range cap(done) {
		if err := <-done; fault.KindOf(err) == fault.Unavailable {
			busy++
		} else if err != nil {
			t.Error(err)
		}
	}
	if busy == 0 {
		t.Errorf("%d hashes at once found a place in 20 ms", cap(done))
	}
}
