package barbican

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

// mistake checks that a refusal is the client's mistake.
func mistake(t *testing.T, raw string, err error) bool {
	t.Helper()
	if err != nil && fault.KindOf(err) != fault.Invalid {
		t.Errorf("%q: %v", raw, err)
	}
	return err != nil
}

// A creation is refused as the client's mistake, or asks for one of three
// types, with each secret once and names that can be stored.
func FuzzContainerBody(f *testing.F) {
	const base = "https://kms.test"
	for _, s := range []string{
		`{"type":"generic"}`, `{"type":" rsa ","name":null,"secret_refs":[]}`,
		`{"type":"generic","secret_refs":[{"name":"a","secret_ref":"https://kms.test/v1/secrets/x/"},{"name":null,"secret_ref":"https://kms.test/y"}]}`,
		`{"type":"certificate","secret_refs":[{"secret_ref":"https://kms.test/x"},{"secret_ref":"x"}]}`, `{"type":1,"secret_refs":{}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		body, ok := bodyOf(t, "Container", raw)
		if !ok {
			return
		}
		in, err := newContainer(body, base)
		if mistake(t, raw, err) {
			return
		}
		if in.Type != container.Generic && in.Type != container.RSA && in.Type != container.Certificate {
			t.Errorf("%q has the type %q", raw, in.Type)
		}
		if in.Name != nil && !storableText(*in.Name) {
			t.Errorf("%q has the name %q", raw, *in.Name)
		}
		ids := map[secret.ID]bool{}
		for _, e := range in.Entries {
			if e.Name != nil && !storableText(*e.Name) {
				t.Errorf("%q has an entry of the name %q", raw, *e.Name)
			}
			if ids[e.Secret] || strings.Contains(string(e.Secret), "/") {
				t.Errorf("%q has %q", raw, e.Secret)
			}
			ids[e.Secret] = true
		}
	})
}

// The same for what is added or removed, and for who registers.
func FuzzContainerParts(f *testing.F) {
	for _, s := range []string{
		`{"secret_ref":"https://kms.test/v1/secrets/x","name":"n"}`, `{"secret_ref":"x","name":null}`, `{"secret_ref":"/"}`,
		`{"name":"svc","URL":"http://a"}`, `{"name":" ","URL":5}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		body, ok := bodyOf(t, "ContainerSecret", raw)
		if !ok {
			return
		}
		if e, err := newEntry(body); !mistake(t, raw, err) {
			if e.Name != nil && !storableText(*e.Name) || strings.Contains(string(e.Secret), "/") {
				t.Errorf("%q is %+v", raw, e)
			}
		}
		if p, err := newParty(body); !mistake(t, raw, err) {
			if p.Name == "" || p.URL == "" || !storableText(p.Name) || utf8.RuneCountInString(p.Name) > maxConsumerName || !storableText(p.URL) {
				t.Errorf("%q is %+v", raw, p)
			}
		}
	})
}
