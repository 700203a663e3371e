package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// both is one user's view of one project through both families.
type both struct {
	*client
	barbican, csms string // base URLs of secrets
}

func throughBoth(t *testing.T, s *devserver.Server) both {
	t.Helper()
	return both{
		demo(t, s),
		s.Env["KEY_MANAGER_URL"] + "/v1/secrets",
		s.Env["CSMS_URL"] + "/v1/" + s.Env["OS_PROJECT_ID"] + "/secrets",
	}
}

// What one family writes the other reads, as docs/dialects.md says: every way
// of writing against every way of reading.
func TestWhatOneFamilyWritesTheOtherReads(t *testing.T) {
	s := server(t)
	b := throughBoth(t, s)
	for _, w := range []struct {
		name    string
		write   func(t *testing.T, name string) (id string)
		payload string
		text    bool // read as secret_string
		named   bool // CSMS knows it by its own name too
	}{
		{"Barbican text in one step", func(t *testing.T, name string) string {
			return b.storeBarbican(t, map[string]any{"name": name, "payload": "héllo", "payload_content_type": "text/plain"})
		}, "héllo", true, true},
		{"Barbican bytes in one step", func(t *testing.T, name string) string {
			return b.storeBarbican(t, map[string]any{
				"name": name, "payload": base64.StdEncoding.EncodeToString([]byte("\x00\xff")),
				"payload_content_type": "application/octet-stream", "payload_content_encoding": "base64",
			})
		}, "\x00\xff", false, true},
		{"Barbican in two steps", func(t *testing.T, name string) string {
			id := b.storeBarbican(t, map[string]any{"name": name})
			b.must(t, 204, "PUT", b.barbican+"/"+id, "plain", "Content-Type", "text/plain")
			return id
		}, "plain", true, true},
		{"Barbican text that is no UTF-8", func(t *testing.T, name string) string {
			id := b.storeBarbican(t, map[string]any{"name": name})
			b.must(t, 204, "PUT", b.barbican+"/"+id, "\xff\xfe", "Content-Type", "text/plain")
			return id
		}, "\xff\xfe", false, true},
		{"Barbican with a name that CSMS does not allow", func(t *testing.T, name string) string {
			return b.storeBarbican(t, map[string]any{"name": name + " !", "payload": "x", "payload_content_type": "text/plain"})
		}, "x", true, false},
		{"CSMS string", func(t *testing.T, name string) string {
			return b.storeCSMS(t, map[string]any{"name": name, "secret_string": "a\u0000<&>b"})
		}, "a\u0000<&>b", true, true},
		{"CSMS binary", func(t *testing.T, name string) string {
			return b.storeCSMS(t, map[string]any{"name": name, "secret_binary": base64.StdEncoding.EncodeToString([]byte{0, 1, 0xfe})})
		}, "\x00\x01\xfe", false, true},
		{"a CSMS version after the first", func(t *testing.T, name string) string {
			id := b.storeCSMS(t, map[string]any{"name": name, "secret_string": "old"})
			b.must(t, 200, "POST", b.csms+"/"+name+"/versions", map[string]any{"secret_string": "new"})
			return id
		}, "new", true, true},
		{"a CSMS version of a Barbican secret", func(t *testing.T, name string) string {
			id := b.storeBarbican(t, map[string]any{"name": name, "payload": "old", "payload_content_type": "text/plain"})
			b.must(t, 200, "POST", b.csms+"/"+id+"/versions", map[string]any{"secret_string": "new"})
			return id
		}, "new", true, true},
	} {
		t.Run(w.name, func(t *testing.T) {
			name := "matrix-" + strings.NewReplacer(" ", "-", "/", "-").Replace(t.Name()[len(t.Name())-20:])
			id := w.write(t, name)
			b.readsInBarbican(t, id, w.payload, w.text)
			b.readsInCSMS(t, id, w.payload, w.text)
			if w.named {
				b.readsInCSMS(t, name, w.payload, w.text)
			}
			b.must(t, 409, "PUT", b.barbican+"/"+id, "again", "Content-Type", "text/plain")
			b.must(t, 204, "DELETE", b.barbican+"/"+id, nil)
			b.must(t, 404, "GET", b.csms+"/"+id, nil)
			b.must(t, 404, "GET", b.barbican+"/"+id, nil)
		})
	}
}

func (b both) storeBarbican(t *testing.T, body map[string]any) string {
	t.Helper()
	var made struct {
		Ref string `json:"secret_ref"`
	}
	b.must(t, http.StatusCreated, "POST", b.barbican, body).json(t, &made)
	return path.Base(made.Ref)
}

func (b both) storeCSMS(t *testing.T, body map[string]any) string {
	t.Helper()
	var made struct {
		Secret struct {
			ID string `json:"id"`
		} `json:"secret"`
	}
	b.must(t, http.StatusOK, "POST", b.csms, body).json(t, &made)
	return made.Secret.ID
}

func (b both) readsInBarbican(t *testing.T, id, payload string, text bool) {
	t.Helper()
	for _, u := range []string{b.barbican + "/" + id + "/payload", b.barbican + "/" + id} {
		if a := b.must(t, 200, "GET", u, nil, "Accept", "application/octet-stream"); string(a.Body) != payload {
			t.Errorf("%s = %q, want %q", u, a.Body, payload)
		}
	}
	status := 200
	if !text {
		status = 406
	}
	if payload != "\x00\x01" { // anything that is not UTF-8 is not text to Barbican either
		b.must(t, status, "GET", b.barbican+"/"+id+"/payload", nil, "Accept", "text/plain")
	}
	var sec struct {
		Type         string            `json:"secret_type"`
		ContentTypes map[string]string `json:"content_types"`
	}
	b.must(t, 200, "GET", b.barbican+"/"+id, nil, "Accept", "application/json").json(t, &sec)
	if sec.Type != "opaque" || sec.ContentTypes["default"] == "" {
		t.Errorf("in Barbican it is %+v", sec)
	}
}

func (b both) readsInCSMS(t *testing.T, handle, payload string, text bool) {
	t.Helper()
	var shown struct {
		Secret struct {
			ID, Name string
		} `json:"secret"`
	}
	b.must(t, 200, "GET", b.csms+"/"+url.PathEscape(handle), nil).json(t, &shown)
	var v struct {
		Version struct {
			Metadata struct {
				ID     string   `json:"id"`
				Stages []string `json:"version_stages"`
			} `json:"version_metadata"`
			String *string `json:"secret_string"`
			Binary *string `json:"secret_binary"`
		} `json:"version"`
	}
	b.must(t, 200, "GET", b.csms+"/"+url.PathEscape(handle)+"/versions/latest", nil).json(t, &v)
	got, err := value(v.Version.String, v.Version.Binary)
	if err != nil || got != payload || (v.Version.String != nil) != text {
		t.Errorf("in CSMS %s = %q (text %v, %v), want %q (text %v)", handle, got, v.Version.String != nil, err, payload, text)
	}
	if st := v.Version.Metadata.Stages; len(st) == 0 || st[0] != "SYSCURRENT" {
		t.Errorf("stages %v", st)
	}
}

func value(text, binary *string) (string, error) {
	switch {
	case text != nil && binary == nil:
		return *text, nil
	case binary != nil && text == nil:
		b, err := base64.StdEncoding.DecodeString(*binary)
		return string(b), err
	}
	return "", fmt.Errorf("both or neither of secret_string and secret_binary")
}

// A name that two Barbican secrets have names neither of them in CSMS, and a
// CSMS secret of that name goes before both.
func TestNamesThatRepeat(t *testing.T) {
	b := throughBoth(t, server(t))
	one := b.storeBarbican(t, map[string]any{"name": "twin", "payload": "1", "payload_content_type": "text/plain"})
	b.readsInCSMS(t, "twin", "1", true)
	two := b.storeBarbican(t, map[string]any{"name": "twin", "payload": "2", "payload_content_type": "text/plain"})
	b.must(t, 404, "GET", b.csms+"/twin", nil)
	b.readsInCSMS(t, one, "1", true)
	b.readsInCSMS(t, two, "2", true)
	b.storeCSMS(t, map[string]any{"name": "twin", "secret_string": "3"})
	b.readsInCSMS(t, "twin", "3", true)
}

// The first step alone has no version in CSMS.
func TestSecretWithoutPayloadInCSMS(t *testing.T) {
	b := throughBoth(t, server(t))
	id := b.storeBarbican(t, map[string]any{"name": "empty"})
	var list struct {
		Versions []any `json:"version_metadatas"`
	}
	b.must(t, 200, "GET", b.csms+"/"+id+"/versions", nil).json(t, &list)
	if list.Versions == nil || len(list.Versions) != 0 {
		t.Errorf("versions %v, want an empty list", list.Versions)
	}
	b.must(t, 404, "GET", b.csms+"/"+id+"/versions/latest", nil)
}

// ACLs and consumers are Barbican's: CSMS neither asks for them nor loses them.
func TestACLsAndConsumersInCSMS(t *testing.T) {
	b := throughBoth(t, server(t))
	const name = "acl-and-consumers"
	id := b.storeCSMS(t, map[string]any{"name": name, "secret_string": "old"})
	consumer := map[string]any{"service": "volume", "resource_type": "volume", "resource_id": "1"}
	b.must(t, 200, "PUT", b.barbican+"/"+id+"/acl", map[string]any{"read": map[string]any{"users": []string{"guest"}, "project-access": false}})
	b.must(t, 200, "POST", b.barbican+"/"+id+"/consumers", consumer)

	b.must(t, 200, "POST", b.csms+"/"+name+"/versions", map[string]any{"secret_string": "new"})
	b.must(t, 200, "PUT", b.csms+"/"+name, map[string]any{"description": "changed"})
	b.readsInCSMS(t, name, "new", true)
	b.readsInBarbican(t, id, "new", true)
	var shown struct {
		Read struct {
			Users         []string `json:"users"`
			ProjectAccess *bool    `json:"project-access"`
		} `json:"read"`
	}
	b.must(t, 200, "GET", b.barbican+"/"+id+"/acl", nil).json(t, &shown)
	if len(shown.Read.Users) != 1 || shown.Read.ProjectAccess == nil || *shown.Read.ProjectAccess {
		t.Errorf("after changes through CSMS the ACL is %+v", shown.Read)
	}
	var listed struct {
		Total int `json:"total"`
	}
	b.must(t, 200, "GET", b.barbican+"/"+id+"/consumers", nil).json(t, &listed)
	if listed.Total != 1 {
		t.Errorf("%d consumers are left", listed.Total)
	}

	b.must(t, 400, "DELETE", b.barbican+"/"+id, nil, "OpenStack-API-Version", "key-manager 1.2")
	b.must(t, 200, "DELETE", b.csms+"/"+name, nil)
	b.must(t, 404, "GET", b.barbican+"/"+id+"/acl", nil)
}
