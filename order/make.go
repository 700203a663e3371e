package order

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// product is one secret before it is sealed.
type product struct {
	secret  secret.Secret
	payload sensitive.Bytes
	entry   string // its name in the container; empty: there is none
}

// carryOut makes what the order is for, stores it, and sets what c is then.
func (s *Service) carryOut(ctx context.Context, c *Claimed) error {
	if e := c.Meta.Expiration; e != nil && !e.After(s.gate.Time()) {
		return errExpired
	}
	products, box, err := s.produce(ctx, *c)
	defer func() {
		for _, p := range products {
			p.payload.Wipe()
		}
	}()
	if err != nil {
		return err
	}
	for range tries {
		y, err := s.yield(ctx, *c, products, box)
		if err != nil {
			return err
		}
		now := s.gate.Time()
		switch err := s.deps.Store.CompleteOrder(ctx, *c, y, now); {
		case err == nil:
			c.Status, c.UpdatedAt = Active, now
			if c.Kind == Key {
				c.Secret = y.Secrets[0].Secret.ID
			} else {
				c.Container = y.Container.ID
			}
			return nil
		case !errors.Is(err, envelope.ErrKEKGone):
			return err
		}
		for _, m := range y.Secrets {
			s.deps.Sealer.Forget(string(c.Project), envelope.Default, m.Version.Sealed.KEK.ID)
		}
	}
	return envelope.ErrKEKGone
}

// produce makes the payloads, and the empty container for a pair. What it
// returns is to be wiped, beside an error too.
func (s *Service) produce(ctx context.Context, c Claimed) ([]product, *container.Container, error) {
	if c.Kind == Key {
		n, err := c.Meta.size()
		if err != nil {
			return nil, nil, err
		}
		key, err := s.random(ctx, c.Project, n)
		if err != nil {
			return nil, nil, fmt.Errorf("make a key: %w", err)
		}
		return []product{s.product(c, "symmetric", key, "")}, nil, nil
	}
	kind, err := c.Meta.pair()
	if err != nil {
		return nil, nil, err
	}
	var passphrase sensitive.Bytes
	if c.Passphrase != nil {
		if passphrase, err = s.deps.Sealer.Open(ctx, *c.Passphrase, c.place()); err != nil {
			return nil, nil, fmt.Errorf("open passphrase: %w", err)
		}
	}
	pair, err := s.deps.Pairs.Make(ctx, c.Meta.algorithm(), c.Meta.BitLength, passphrase)
	if err != nil {
		passphrase.Wipe()
		return nil, nil, err
	}
	products := []product{
		s.product(c, "private", pair.Private, "private_key"),
		s.product(c, "public", sensitive.Take(pair.Public), "public_key"),
	}
	if passphrase.Len() > 0 {
		products = append(products, s.product(c, "passphrase", passphrase, "private_key_passphrase"))
	}
	return products, &container.Container{
		ID: s.deps.NewContainerID(), Project: c.Project, Name: c.Meta.Name, Type: kind, Creator: c.Creator,
	}, nil
}

// product is a secret of the order: what was ordered says all of it but its
// type. Whoever asked is its creator, whatever the order said (barbican.md
// §14.2).
func (s *Service) product(c Claimed, kind string, payload sensitive.Bytes, entry string) product {
	algorithm, bits := c.Meta.Algorithm, c.Meta.BitLength
	return product{payload: payload, entry: entry, secret: secret.Secret{
		ID: s.deps.NewSecretID(), Project: c.Project, Family: policy.KeyManager, Name: c.Meta.Name,
		Type: kind, Algorithm: &algorithm, Mode: c.Meta.Mode, BitLength: &bits, Expiration: c.Meta.Expiration,
		Creator: c.Creator,
	}}
}

// yield seals the products.
func (s *Service) yield(ctx context.Context, c Claimed, products []product, box *container.Container) (Yield, error) {
	var y Yield
	now := s.gate.Time()
	var entries []container.Entry
	for _, p := range products {
		p.secret.CreatedAt, p.secret.UpdatedAt = now, now
		sec, v, err := secret.First(ctx, s.deps.Sealer, p.secret, p.payload, c.Meta.ContentType)
		if err != nil {
			return Yield{}, fmt.Errorf("seal what the order made: %w", err)
		}
		y.Secrets = append(y.Secrets, Made{sec, v, s.event(c, policy.SecretCreate, target("secret", sec.Project, string(sec.ID), sec.Name))})
		entries = append(entries, container.Entry{Name: &p.entry, Secret: sec.ID})
	}
	if box != nil {
		full := *box
		full.CreatedAt, full.UpdatedAt, full.Entries = now, now, entries
		y.Container = &full
		y.Event = s.event(c, policy.ContainerCreate, target("container", full.Project, string(full.ID), full.Name))
	}
	return y, nil
}
