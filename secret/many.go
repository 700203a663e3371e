package secret

import (
	"context"
	"errors"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// RevealMany opens the current version of each secret of the caller's project
// that a name means, in the order of the names. What is not there, is not
// enabled, has a key that cannot be used, or may not be read by the caller is
// left out, and is on record as with Reveal. A caller who may read none of
// them gets the refusal. Whoever gets payloads wipes them.
func (s *Service) RevealMany(ctx context.Context, who auth.Principal, names []string) (out []Revealed, err error) {
	defer func() {
		if err != nil {
			for _, r := range out {
				r.Payload.Wipe()
			}
			out = nil
		}
	}()
	var denied error
	decided := 0 // how many the policy had no word against
	for _, name := range names {
		r, err := s.revealNamed(ctx, who, name)
		switch kind := fault.KindOf(err); {
		case err == nil:
			out = append(out, r)
			decided++
		case errors.Is(err, ErrDenied):
			denied = err
		case kind == fault.NotFound, kind == fault.WrongState:
			decided++
		default:
			return out, err
		}
	}
	if decided == 0 && denied != nil {
		return out, denied
	}
	return out, nil
}

func (s *Service) revealNamed(ctx context.Context, who auth.Principal, name string) (Revealed, error) {
	want := Want{Sealed: true, Versions: true, Stage: Current}
	l, err := s.Locate(ctx, who, policy.SecretRevealMany, Named(who.Project, name), want)
	if err != nil {
		return Revealed{}, err
	}
	return l.reveal(ctx, policy.SecretRevealMany)
}
