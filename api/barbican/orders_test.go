package barbican_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/container"
)

// The meta of the checklist (§25.12).
const orderedKey = `{"name":"k","algorithm":"aes","bit_length":256,"mode":"cbc","payload_content_type":"application/octet-stream"}`

// orderOfKey is an order for a key with these members beside a good algorithm and
// length; orderOfPair one for a key pair.
func orderOfKey(members string) string { return orderOf("key", "aes", 256, members) }

func orderOfPair(members string) string { return orderOf("asymmetric", "rsa", 1024, members) }

func orderOf(kind, algorithm string, bits int, members string) string {
	if members != "" {
		members = "," + members
	}
	return fmt.Sprintf(`{"type":%q,"meta":{"algorithm":%q,"bit_length":%d%s}}`, kind, algorithm, bits, members)
}

// ordered gets the order that the answer to a creation names.
func (w *world) ordered(a answer) map[string]any {
	w.t.Helper()
	ref, _ := a.json()["order_ref"].(string)
	if !strings.HasPrefix(ref, base+"/v1/orders/") || a.header.Get("Location") != ref {
		w.t.Fatalf("order_ref %q, Location %q", ref, a.header.Get("Location"))
	}
	return w.at("u1", ref)
}

// at gets what is at a reference.
func (w *world) at(as, ref string) map[string]any {
	w.t.Helper()
	got := w.do(as, "GET "+strings.TrimPrefix(ref, base), "", "")
	if got.code != 200 {
		w.t.Fatalf("GET %s: %d %s", ref, got.code, got.body)
	}
	return got.json()
}

// payloadAt is the payload of the secret at a reference.
func (w *world) payloadAt(ref string) string {
	w.t.Helper()
	got := w.do("u1", "GET "+strings.TrimPrefix(ref, base)+"/payload", "Accept: application/octet-stream", "")
	if got.code != 200 {
		w.t.Fatalf("GET %s/payload: %d %s", ref, got.code, got.body)
	}
	return got.body
}

// becomes checks the status of an order, and what goes with it.
func becomes(status string, more ...func(t *testing.T, w *world, o map[string]any)) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		o := w.ordered(a)
		if o["status"] != status {
			t.Fatalf("order is %v: %v", o["status"], o)
		}
		_, code := o["error_status_code"].(string)
		_, reason := o["error_reason"].(string)
		if failed := status == "ERROR"; code != failed || reason != failed {
			t.Errorf("error_status_code and error_reason of an order that is %s: %v", status, o)
		}
		_, made := o["secret_ref"]
		_, box := o["container_ref"]
		if (status == "ACTIVE") == (made == box) {
			t.Errorf("references of an order that is %s: %v", status, o)
		}
		for _, check := range more {
			check(t, w, o)
		}
	}
}

// failsWith checks an order that is in ERROR.
func failsWith(code string) func(*testing.T, *world, answer) {
	return becomes("ERROR", func(t *testing.T, _ *world, o map[string]any) {
		t.Helper()
		if o["error_status_code"] != code {
			t.Errorf("error_status_code %#v, want %q", o["error_status_code"], code)
		}
	})
}

func active(t *testing.T, w *world, a answer) {
	t.Helper()
	becomes("ACTIVE")(t, w, a)
}

// keyIsThere checks the secret of a key order (BAR-442, BAR-443).
func keyIsThere(bytes int) func(t *testing.T, w *world, o map[string]any) {
	return func(t *testing.T, w *world, o map[string]any) {
		t.Helper()
		ref, _ := o["secret_ref"].(string)
		s := w.at("u1", ref)
		for member, want := range map[string]any{
			"secret_type": "symmetric", "name": "k", "algorithm": "aes", "bit_length": 256.0, "mode": "cbc", "status": "ACTIVE",
			"creator_id": "u1", "expiration": nil,
		} {
			if s[member] != want {
				t.Errorf("%s of the secret is %#v, want %#v", member, s[member], want)
			}
		}
		if fmt.Sprint(s["content_types"]) != "map[default:application/octet-stream]" {
			t.Errorf("content_types %v", s["content_types"])
		}
		if p := w.payloadAt(ref); len(p) != bytes {
			t.Errorf("%d bytes of payload, want %d", len(p), bytes)
		}
		if a := w.do("u1", "GET "+strings.TrimPrefix(ref, base)+"/payload", "Accept: text/plain", ""); a.code != 406 {
			t.Errorf("payload as text: %d", a.code)
		}
	}
}

func orderShows(member string, want any) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := w.ordered(a)[member]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", member, got, want)
		}
	}
}

func TestCreateKeyOrders(t *testing.T) {
	ok := `{"type":"key","meta":` + orderedKey + `}`
	rows := []row{
		{id: "BAR-440", do: "POST /v1/orders", body: ok, want: 202},
		{id: "BAR-441", do: "POST /v1/orders", body: ok, want: 202, check: becomes("ACTIVE", func(t *testing.T, _ *world, o map[string]any) {
			delete(o, "secret_ref")
			delete(o, "order_ref")
			got, _ := json.Marshal(o)
			want := `{"created":"2026-05-16T19:40:48.123456","creator_id":"u1","meta":{"algorithm":"aes","bit_length":256,"expiration":null,` +
				`"mode":"cbc","name":"k","payload_content_type":"application/octet-stream"},"status":"ACTIVE","sub_status":"Unknown",` +
				`"sub_status_message":"Unknown","type":"key","updated":"2026-05-16T19:40:48.123456"}`
			if string(got) != want {
				t.Errorf("order %s, want %s", got, want)
			}
		})},
		{id: "BAR-442 BAR-443", do: "POST /v1/orders", body: ok, want: 202, check: becomes("ACTIVE", keyIsThere(32))},
		{id: "BAR-447", do: "POST /v1/orders", body: orderOf("key", "aes", 129, ""), want: 400, check: describes("bit_length")},
		{id: "BAR-447", do: "POST /v1/orders", body: orderOf("key", "ec", 521, ""), want: 400},
		{id: "BAR-451", do: "POST /v1/orders", body: orderOfKey(`"payload_content_type":"text/plain; charset=utf-8"`), want: 202,
			check: becomes("ACTIVE", func(t *testing.T, w *world, o map[string]any) {
				if s := w.at("u1", o["secret_ref"].(string)); fmt.Sprint(s["content_types"]) != "map[default:text/plain]" {
					t.Errorf("content_types %v: not normalised", s["content_types"])
				}
			})},
		{id: "BAR-451", do: "POST /v1/orders", body: orderOfKey(`"payload_content_type":null`), want: 202, check: active},
		{id: "BAR-456", do: "POST /v1/orders", body: `{"extra":1,` + ok[1:], want: 202, check: active},
		{id: "BAR-457", do: "POST /v1/orders", body: `{"type":`, want: 400},
		{id: "BAR-457", do: "POST /v1/orders", headers: "Content-Type: application/json", want: 400},
		{id: "BAR-457", do: "POST /v1/orders", headers: "Content-Type: text/plain", body: ok, want: 415},
		{id: "BAR-458", do: "POST /v1/orders", body: orderOf("key", "foo", 256, ""), want: 202, check: failsWith("400")},
		{id: "BAR-459", do: "POST /v1/orders", body: orderOf("key", "aes", 136, ""), want: 202, check: failsWith("500")},
		{id: "BAR-460", do: "POST /v1/orders", body: orderOf("key", "aes", 512, `"mode":"XTS"`), want: 202, check: active},
		{id: "BAR-460", do: "POST /v1/orders", body: orderOf("key", "aes", 512, ``), want: 202, check: failsWith("500")},
		{id: "BAR-461", do: "POST /v1/orders", body: orderOf("key", "rsa", 2048, ""), want: 202, check: failsWith("400")},
		{id: "BAR-468", do: "POST /v1/orders", body: orderOfKey(`"creator_id":"spoof","other":{"deep":[" x "]}`), want: 202,
			check: all(orderShows("creator_id", "u1"), orderShows("meta", "map[algorithm:aes bit_length:256 creator_id:spoof expiration:<nil> name:<nil> other:map[deep:[x]]]"),
				becomes("ACTIVE", func(t *testing.T, w *world, o map[string]any) {
					if got := w.at("u1", o["secret_ref"].(string))["creator_id"]; got != "u1" {
						t.Errorf("creator of the secret is %v", got)
					}
				}))},
	}
	for _, bits := range []int{64, 128, 192, 256} {
		for _, algorithm := range []string{"AES", "des", "hmacsha1", "HmacSHA256", "hmacsha384", "hmacsha512"} {
			rows = append(rows, row{id: "BAR-448", do: "POST /v1/orders", body: orderOf("key", algorithm, bits, ""), want: 202, check: active})
		}
	}
	for _, bits := range []int{8, 1024, 2048, 4096} {
		rows = append(rows, row{id: "BAR-448", do: "POST /v1/orders", body: orderOf("key", "aes", bits, ""), want: 202, check: failsWith("500")})
	}
	for _, algorithm := range []string{"dsa", "ec", "diffie_hellman", "3des", "desede"} {
		rows = append(rows, row{id: "BAR-461", do: "POST /v1/orders", body: orderOf("key", algorithm, 192, ""), want: 202, check: failsWith("400")})
	}
	run(t, rows)
}

// What is refused at once, and what passes that.
func TestOrderBodies(t *testing.T) {
	meta := func(text string) string { return `{"type":"key","meta":` + text + `}` }
	refused := map[string][]string{
		"BAR-444": {`{"meta":` + orderedKey + `}`, `{"type":null,"meta":` + orderedKey + `}`, `{"type":"foo","meta":` + orderedKey + `}`,
			`{"type":"KEY","meta":` + orderedKey + `}`, `{"type":"certificate","meta":` + orderedKey + `}`, `{"type":1,"meta":` + orderedKey + `}`},
		"BAR-445": {`{"type":"key"}`, meta(`null`), meta(`[]`), meta(`{}`), meta(`"x"`)},
		"BAR-446": {meta(`{"bit_length":256}`), meta(`{"algorithm":"","bit_length":256}`), meta(`{"algorithm":"aes"}`),
			meta(`{"algorithm":null,"bit_length":256}`), meta(`{"algorithm":"  ","bit_length":256}`)},
		"BAR-449": {orderOfKey(`"payload":"x"`), orderOfKey(`"payload":""`), orderOfKey(`"payload":123`), orderOfKey(`"payload":null`)},
		"BAR-450": {orderOfKey(`"payload_content_type":"foo/bar"`), orderOfKey(`"payload_content_type":"text"`), orderOfKey(`"payload_content_type":"text/"`),
			orderOfKey(`"payload_content_type":123`), orderOfKey(`"payload_content_type":` + quoted("a", 256))},
		"BAR-452": {orderOfKey(`"expiration":"2020-01-01"`), orderOfKey(`"expiration":"soon"`), orderOfKey(`"expiration":5`), orderOfKey(`"expiration":null`)},
		"BAR-453": {orderOfKey(`"name":5`), orderOfKey(`"name":` + quoted("n", 256))},
		"BAR-454": {orderOfKey(`"mode":5`), orderOfKey(`"mode":null`)},
		"BAR-455": {orderOfKey(`"secret_type":"foo"`)},
		"BAR-466": {`{"type":"asymmetric","meta":{"bit_length":1024}}`, `{"type":"asymmetric","meta":{"algorithm":"rsa"}}`,
			orderOf("asymmetric", "rsa", 1025, ""), orderOf("asymmetric", "rsa", 521, "")},
		"BAR-465": {orderOfPair(`"passphrase":5`), orderOfPair(`"pass_phrase":["x"]`), orderOfPair(`"passphrase":"a","pass_phrase":"b"`)},
	}
	for _, bits := range []string{`null`, `"256"`, `""`, `" "`, `0`, `1`, `7`, `-8`, `129`, `32768`, `true`, `256.5`} {
		refused["BAR-447"] = append(refused["BAR-447"], meta(`{"algorithm":"aes","bit_length":`+bits+`}`))
	}
	taken := map[string][]string{
		"BAR-451": {orderOfKey(`"payload_content_type":""`), orderOfKey(`"payload_content_type":"text/plain"`), orderOfKey(`"payload_content_type":"text/plain;charset=utf-8"`)},
		"BAR-452": {orderOfKey(`"expiration":""`), orderOfKey(`"expiration":"2040-01-01"`)},
		"BAR-453": {orderOfKey(`"name":null`), orderOfKey(`"name":""`), orderOfKey(`"name":` + quoted("n", 255))},
		"BAR-454": {orderOfKey(``), orderOfKey(`"mode":""`)},
		"BAR-455": {orderOfKey(`"secret_type":"opaque"`)},
		"BAR-447": {meta(`{"algorithm":"aes","bit_length":256.0}`), meta(`{"algorithm":" AES ","bit_length":256}`)},
	}
	var rows []row
	for id, bodies := range refused {
		for _, b := range bodies {
			rows = append(rows, row{id: id, do: "POST /v1/orders", body: b, want: 400})
		}
	}
	for id, bodies := range taken {
		for _, b := range bodies {
			rows = append(rows, row{id: id, do: "POST /v1/orders", body: b, want: 202, check: active})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.id+a.body, b.id+b.body) })
	w := newWorld(t)
	for _, r := range rows {
		r.in(t, w)
	}
}

func TestOrderExpirationIsThatOfItsSecret(t *testing.T) {
	w := newWorld(t)
	o := w.ordered(w.do("u1", "POST /v1/orders", "", orderOfKey(`"name":"k","expiration":"2040-01-01T12:30:00+02:00"`)))
	meta, _ := o["meta"].(map[string]any)
	if meta["expiration"] != "2040-01-01T10:30:00" {
		t.Errorf("expiration %v", meta["expiration"])
	}
	if got := w.at("u1", o["secret_ref"].(string))["expiration"]; got != meta["expiration"] {
		t.Errorf("expiration of the secret is %v", got)
	}
}

// pairIsThere checks container and secrets of a key pair (BAR-463, BAR-464).
func pairIsThere(kind string, names ...string) func(t *testing.T, w *world, o map[string]any) {
	return func(t *testing.T, w *world, o map[string]any) {
		t.Helper()
		c := w.containerOf(o)
		if string(c.Type) != kind || c.Name == nil || *c.Name != "pair" || c.Creator != "u1" {
			t.Errorf("container %+v", c)
		}
		types := map[string]string{"private_key": "private", "public_key": "public", "private_key_passphrase": "passphrase"}
		var got []string
		for _, entry := range c.Entries {
			name := *entry.Name
			got = append(got, name)
			s := w.at("u1", base+"/v1/secrets/"+string(entry.Secret))
			if s["secret_type"] != types[name] || s["name"] != "pair" || s["creator_id"] != "u1" {
				t.Errorf("secret %s: %v", name, s)
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("secrets %v, want %v", got, names)
		}
	}
}

// containerOf is the container that an order made.
func (w *world) containerOf(o map[string]any) container.Container {
	w.t.Helper()
	ref, _ := o["container_ref"].(string)
	id, ok := strings.CutPrefix(ref, base+"/v1/containers/")
	if !ok {
		w.t.Fatalf("container_ref %q", ref)
	}
	c, err := w.db.FindContainer(w.t.Context(), container.Handle{Project: projectP, ID: container.ID(id)}, container.Want{Contents: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// inContainer is the payload of the named secret of an order's container.
func (w *world) inContainer(o map[string]any, name string) string {
	w.t.Helper()
	for _, entry := range w.containerOf(o).Entries {
		if *entry.Name == name {
			return w.payloadAt(base + "/v1/secrets/" + string(entry.Secret))
		}
	}
	w.t.Fatalf("the container has no %s", name)
	return ""
}

func TestCreateAsymmetricOrders(t *testing.T) {
	pem1024 := becomes("ACTIVE", pairIsThere("rsa", "private_key", "public_key"), func(t *testing.T, w *world, o map[string]any) {
		if private := w.inContainer(o, "private_key"); !strings.HasPrefix(private, "-----BEGIN PRIVATE KEY-----\n") {
			t.Error("the private key is not PKCS#8 in PEM")
		}
		block, _ := pem.Decode([]byte(w.inContainer(o, "public_key")))
		if block == nil || block.Type != "PUBLIC KEY" {
			t.Fatal("the public key is not in PEM")
		}
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			t.Error(err)
		}
	})
	locked := becomes("ACTIVE", pairIsThere("rsa", "private_key", "public_key", "private_key_passphrase"), func(t *testing.T, w *world, o map[string]any) {
		if private := w.inContainer(o, "private_key"); !strings.HasPrefix(private, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") {
			t.Error("the private key is not encrypted")
		}
		if got := w.inContainer(o, "private_key_passphrase"); got != "open sesame" {
			t.Errorf("passphrase %q", got)
		}
		if text := fmt.Sprint(o["meta"]); strings.Contains(text, "sesame") || strings.Contains(text, "pass") {
			t.Errorf("meta shows the passphrase: %s", text)
		}
	})
	run(t, []row{
		{id: "BAR-462 BAR-463 BAR-464", do: "POST /v1/orders", body: orderOfPair(`"name":"pair"`), want: 202, check: pem1024},
		{id: "BAR-462", do: "POST /v1/orders", body: orderOf("asymmetric", "RSA", 2048, `"name":"pair"`), want: 202, check: pem1024},
		{id: "BAR-465", do: "POST /v1/orders", body: orderOfPair(`"name":"pair","passphrase":" open sesame "`), want: 202, check: locked},
		{id: "BAR-465", do: "POST /v1/orders", body: orderOfPair(`"name":"pair","pass_phrase":"open sesame"`), want: 202, check: locked},
		{id: "BAR-465", do: "POST /v1/orders", body: orderOfPair(`"name":"pair","passphrase":"open sesame","pass_phrase":"open sesame"`), want: 202, check: locked},
		{id: "BAR-465", do: "POST /v1/orders", body: orderOfPair(`"name":"pair","passphrase":"","pass_phrase":null`), want: 202, check: pem1024},
		{id: "BAR-465", do: "POST /v1/orders", body: orderOfKey(`"passphrase":"open sesame"`), want: 202,
			check: orderShows("meta", "map[algorithm:aes bit_length:256 expiration:<nil> name:<nil>]")},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "ec", 256, `"name":"pair"`), want: 202,
			check: becomes("ACTIVE", pairIsThere("generic", "private_key", "public_key"))},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "EC", 521, `"name":"pair"`), want: 202,
			check: becomes("ACTIVE", pairIsThere("generic", "private_key", "public_key"))},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "ec", 512, ""), want: 202, check: failsWith("500")},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "aes", 256, ""), want: 202, check: failsWith("400")},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "foo", 256, ""), want: 202, check: failsWith("400")},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "dsa", 1024, ""), want: 202, check: failsWith("400")},
		{id: "BAR-467", do: "POST /v1/orders", body: orderOf("asymmetric", "rsa", 512, ""), want: 202, check: failsWith("500")},
	})
}
