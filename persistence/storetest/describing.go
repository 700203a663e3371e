package storetest

import (
	"errors"
	"maps"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var describing = map[string]func(*bench){
	"MetadataIsReplaced":           metadataIsReplaced,
	"MetadataPairByPair":           metadataPairByPair,
	"MetadataLeavesTheSecretAlone": metadataLeavesTheSecretAlone,
}

// hasMetadata checks the pairs of a secret and how many changes were recorded
// beside its creation.
func (b *bench) hasMetadata(s secret.Secret, want map[string]string, changes int) {
	b.Helper()
	if got := b.find(secret.Anywhere(s.ID), secret.Want{Metadata: true}).Metadata; !maps.Equal(got, want) {
		b.Errorf("metadata %v, want %v", got, want)
	}
	if n := b.rows("audit_events") - 1; n != changes {
		b.Errorf("%d changes are recorded, want %d", n, changes)
	}
}

func metadataIsReplaced(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	changes := 0
	for _, pairs := range []map[string]string{
		{"a": "1", "b": "2"}, {"b": "3", "c": "4"}, {"b": "3", "c": "4"}, {}, {"a": ""}, nil,
	} {
		b.must(b.s.ReplaceMetadata(b.ctx(), s, pairs, b.event()))
		changes++
		b.hasMetadata(s, pairs, changes)
	}
}

func metadataPairByPair(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	pair := func(k, v string) secret.Metadatum { return secret.Metadatum{Key: k, Value: v} }
	b.must(b.s.AddMetadatum(b.ctx(), s, pair("a", "1"), b.event()))
	b.must(b.s.AddMetadatum(b.ctx(), s, pair("A", "2"), b.event()))
	b.hasMetadata(s, map[string]string{"a": "1", "A": "2"}, 2)
	if err := b.s.AddMetadatum(b.ctx(), s, pair("a", "3"), b.event()); !errors.Is(err, secret.ErrMetadatum) {
		b.Errorf("AddMetadatum of one that is there: %v", err)
	}
	if err := b.s.ChangeMetadatum(b.ctx(), s, pair("b", "3"), b.event()); !errors.Is(err, secret.ErrNoMetadatum) {
		b.Errorf("ChangeMetadatum of one that is not there: %v", err)
	}
	if err := b.s.RemoveMetadatum(b.ctx(), s, "b", b.event()); !errors.Is(err, secret.ErrNoMetadatum) {
		b.Errorf("RemoveMetadatum of one that is not there: %v", err)
	}
	b.hasMetadata(s, map[string]string{"a": "1", "A": "2"}, 2)
	b.must(b.s.ChangeMetadatum(b.ctx(), s, pair("a", "1"), b.event())) // to the same
	b.must(b.s.ChangeMetadatum(b.ctx(), s, pair("a", "4"), b.event()))
	b.must(b.s.RemoveMetadatum(b.ctx(), s, "A", b.event()))
	b.hasMetadata(s, map[string]string{"a": "4"}, 5)
}

func metadataLeavesTheSecretAlone(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	other := b.createEmpty(policy.KeyManager, "other")
	b.must(b.s.ReplaceMetadata(b.ctx(), other, map[string]string{"a": "other"}, b.event()))
	b.must(b.s.ReplaceMetadata(b.ctx(), s, map[string]string{"a": "1"}, b.event()))
	b.must(b.s.ChangeMetadatum(b.ctx(), s, secret.Metadatum{Key: "a", Value: "2"}, b.event()))
	f := b.find(secret.Anywhere(s.ID), secret.Want{})
	if f.Secret.Revision != s.Revision || !f.Secret.UpdatedAt.Equal(s.UpdatedAt) {
		b.Errorf("the secret changed: %+v", f.Secret)
	}
	if f.Metadata != nil {
		b.Errorf("metadata that nobody asked for: %v", f.Metadata)
	}
	if m := b.find(secret.Anywhere(other.ID), secret.Want{Metadata: true}).Metadata; m["a"] != "other" {
		b.Errorf("the neighbour's metadata is %v", m)
	}
}
