package secret

import (
	"context"
	"fmt"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Show returns everything of the secret but its payloads.
func (l *Located) Show(ctx context.Context) (Secret, error) {
	if _, err := l.admit(ctx, policy.SecretShow, "", ""); err != nil {
		return Secret{}, err
	}
	return l.found.Secret, nil
}

// Revealed is a payload in the clear. Whoever gets one wipes it.
type Revealed struct {
	Secret  Secret
	Version Version // its Stages are filled where Want.Versions was set
	Payload sensitive.Bytes
}

// HasPayload reports whether the version that Want.Sealed asked for exists.
// That it does is no more of a secret than the content types of Show.
func (l *Located) HasPayload() bool { return l.found.Version.Number != 0 }

// Reveal opens the version that Want.Sealed asked for. A version that is not
// there is ErrNoVersion, or ErrNoPayload where the secret has none at all.
//
// The event is recorded before the payload is opened: one that we could not
// account for stays closed.
func (l *Located) Reveal(ctx context.Context) (Revealed, error) {
	return l.reveal(ctx, policy.SecretReveal)
}

func (l *Located) reveal(ctx context.Context, act policy.Action) (Revealed, error) {
	sec, v := l.found.Secret, l.found.Version
	var label string
	if v.Number != 0 {
		label = v.Label()
	}
	ev, err := l.admit(ctx, act, label, l.want.Stage)
	if err != nil {
		return Revealed{}, err
	}
	if v.Number == 0 {
		missing := ErrNoVersion
		if sec.Latest == 0 {
			missing = ErrNoPayload
		}
		return Revealed{}, l.s.gate.Refuse(ctx, ev.As(audit.Missing), missing)
	}
	if err := sec.usable(); err != nil {
		return Revealed{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	if err := l.s.admitKey(ctx, l.who, policy.DataKeyOpen, v.Key, v.Sealed.KEK.Default); err != nil {
		return Revealed{}, err
	}
	payload, err := l.open(ctx, ev)
	if err != nil {
		return Revealed{}, err
	}
	v.Stages = l.found.positions().on(v.Number)
	return Revealed{Secret: sec, Version: v, Payload: payload}, nil
}

// open opens what was found, once that is on record.
func (l *Located) open(ctx context.Context, ev audit.Event) (sensitive.Bytes, error) {
	if err := l.s.deps.Recorder.Record(ctx, ev); err != nil {
		return sensitive.Bytes{}, fmt.Errorf("record access: %w", err)
	}
	v := l.found.Version
	payload, err := l.s.deps.Sealer.Open(ctx, v.Sealed, l.found.Secret.place(v.Number))
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("open version %d: %w", v.Number, err)
	}
	return payload, nil
}

// Versions lists what is known of all versions, by number. Locate it with
// Want.Versions.
func (l *Located) Versions(ctx context.Context) ([]Version, error) {
	if _, err := l.admit(ctx, policy.VersionList, "", ""); err != nil {
		return nil, err
	}
	all := l.found.positions()
	out := slices.Clone(l.found.Versions)
	for i := range out {
		out[i].Stages = all.on(out[i].Number)
	}
	return out, nil
}

// Stage returns where a stage is. Locate it with Want.Versions.
func (l *Located) Stage(ctx context.Context, name Stage) (Mark, error) {
	if _, err := l.admit(ctx, policy.StageShow, "", name); err != nil {
		return Mark{}, err
	}
	m, ok := l.found.positions()[name]
	if !ok {
		return Mark{}, ErrNoStage
	}
	return m, nil
}
