package barbican

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/secret"
)

// What is taken as an order is one object in JSON again, with a name and an
// expiration, without a passphrase, and has a type and a length that can be
// stored.
func FuzzOrder(f *testing.F) {
	for _, s := range []string{
		`{"type":"key","meta":{"algorithm":"aes","bit_length":256}}`,
		`{"type":"asymmetric","meta":{"algorithm":"ec","bit_length":521,"passphrase":" p ","x":["\u0000",{"y":1e400}]}}`,
		`{"type":"asymmetric","meta":{"algorithm":"rsa","bit_length":2048.0,"pass_phrase":null,"name":null,"expiration":""}}`,
		`{"type":"key","meta":{"algorithm":"aes","bit_length":8,"payload_content_type":"text/plain; charset=utf-8","expiration":"2040"}}`,
		`{"type":"key","meta":[]}`,
	} {
		f.Add(s)
	}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body string) {
		members, err := wire.ReadObject(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if err != nil {
			return
		}
		trimStrings(members)
		in, err := newOrder(object{"Order", members}, now)
		if err != nil {
			return
		}
		var shown map[string]json.RawMessage
		if err := json.Unmarshal(in.Meta.Shown, &shown); err != nil {
			t.Fatalf("meta is no object: %v", err)
		}
		for _, name := range []string{"name", "expiration", "algorithm", "bit_length"} {
			if _, ok := shown[name]; !ok {
				t.Errorf("meta lacks %s", name)
			}
		}
		for _, name := range []string{passphraseName, passphraseOtherName} {
			if _, ok := shown[name]; ok {
				t.Errorf("meta shows %s", name)
			}
		}
		m := in.Meta
		if m.Algorithm == "" || m.BitLength < 1 || m.BitLength > 32767 || knownPayloadType(m.ContentType) != m.ContentType {
			t.Errorf("order %+v", m)
		}
		if m.Expiration != nil && !m.Expiration.After(now) {
			t.Error("the expiration is over")
		}
		if in.Kind != order.Key && in.Kind != order.Asymmetric || in.Kind == order.Key && in.Passphrase.Len() > 0 {
			t.Errorf("kind %q", in.Kind)
		}
		for _, w := range m.Words {
			if strings.ContainsRune(w, 0) {
				t.Error("a word cannot be stored")
			}
		}
		if in.Passphrase.Len() > secret.MaxPayload {
			t.Error("the passphrase cannot be stored")
		}
	})
}
