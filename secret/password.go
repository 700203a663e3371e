package secret

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Lengths of a random password. The longest is far beyond what could be
// guessed; the shortest is what a caller may ask for at least.
const (
	MinPassword     = 8
	MaxPassword     = 128
	DefaultPassword = 32
)

// ErrPasswordRules says that no password is as the rules want it.
var ErrPasswordRules = fault.New(fault.Invalid, "there is no password of that length with the characters that are not excluded")

// The classes of characters that a password may be of.
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	space       = " "
)

// PasswordRules say of what a random password is made. The zero value is
// letters, numbers and punctuation of the default length (csms.md §7.5).
type PasswordRules struct {
	Length                                             int // 0: DefaultPassword
	Exclude                                            string
	NoLowercase, NoUppercase, NoNumbers, NoPunctuation bool
	Space                                              bool
	// EachClass wants at least one character of each class that is not left
	// out.
	EachClass bool
}

// classes are the characters that may be used, by class. A class of which
// nothing is left is empty.
func (r PasswordRules) classes() []string {
	var out []string
	for _, c := range []struct {
		without bool
		all     string
	}{
		{r.NoLowercase, lowercase}, {r.NoUppercase, uppercase}, {r.NoNumbers, numbers},
		{r.NoPunctuation, punctuation}, {!r.Space, space},
	} {
		if !c.without {
			out = append(out, strings.Map(func(char rune) rune {
				if strings.ContainsRune(r.Exclude, char) {
					return -1
				}
				return char
			}, c.all))
		}
	}
	return out
}

// Generate makes a password: each of those that the rules allow is as likely
// as any other. Whoever gets one wipes it.
func (r PasswordRules) Generate() (sensitive.Bytes, error) {
	if r.Length == 0 {
		r.Length = DefaultPassword
	}
	classes := r.classes()
	alphabet := strings.Join(classes, "")
	if alphabet == "" || r.Length < MinPassword || r.Length > MaxPassword {
		return sensitive.Bytes{}, ErrPasswordRules
	}
	if r.EachClass {
		for _, c := range classes {
			if c == "" {
				return sensitive.Bytes{}, ErrPasswordRules
			}
		}
	}
	out := make([]byte, r.Length)
	for {
		draw(out, alphabet)
		if !r.EachClass || hasEach(out, classes) {
			return sensitive.Take(out), nil
		}
		// Drawing all anew, not only what is missing, keeps all equally
		// likely. It ends: at worst one draw in some hundred is good.
	}
}

// draw fills out with characters of an alphabet, of at most 256. Random bytes
// beyond the largest multiple of its size are left out, so none is likelier.
func draw(out []byte, alphabet string) {
	most := 256 - 256%len(alphabet)
	random := make([]byte, 2*len(out))
	for n := 0; n < len(out); {
		_, _ = rand.Read(random) // never fails, by its documentation
		for _, b := range random {
			if n < len(out) && int(b) < most {
				out[n] = alphabet[int(b)%len(alphabet)]
				n++
			}
		}
	}
	clear(random)
}

func hasEach(password []byte, classes []string) bool {
	for _, c := range classes {
		if !bytes.ContainsAny(password, c) {
			return false
		}
	}
	return true
}

// MayPassword asks the gate for Password, for dialects that answer a refusal
// before they look at the body.
func (s *Service) MayPassword(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.PasswordGenerate, gate.Project(who))
	return err
}

// Password makes a random password for the caller. Nothing is stored.
func (s *Service) Password(ctx context.Context, who auth.Principal, r PasswordRules) (sensitive.Bytes, error) {
	if err := s.MayPassword(ctx, who); err != nil {
		return sensitive.Bytes{}, err
	}
	return r.Generate()
}
