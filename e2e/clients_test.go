package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The two-step example of the API's first documents: POST without a payload,
// 5 KiB by PUT, GET it back; in today's URLs and in the older ones that name
// the tenant.
func TestTwoStepWithCurl(t *testing.T) {
	needs(t, "curl", "openstack")
	s := server(t)
	for _, tc := range []struct{ name, base, put string }{
		{"today", "$KEY_MANAGER_URL/v1/secrets", "204"},
		{"with the tenant", "$KEY_MANAGER_URL/v1/$OS_PROJECT_ID/secrets", "200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shell(t, s, `
cd `+t.TempDir()+`
TOKEN=$(openstack token issue -f value -c id)
dd if=/dev/urandom of=secret.bin bs=1024 count=5 status=none
REF=$(curl -sS -X POST -H "X-Auth-Token: $TOKEN" -H 'Content-Type: application/json' \
  -d '{"name": "AES key", "expiration": "2040-02-28T19:14:44.180394", "algorithm": "aes", "bit_length": 256, "mode": "cbc"}' \
  "`+tc.base+`" | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret_ref"])')
case "$REF" in "`+tc.base+`"/*) ;; *) echo "reference $REF"; exit 1;; esac
STATUS=$(curl -sS -o put.out -w '%{http_code}' -X PUT -H "X-Auth-Token: $TOKEN" \
  -H 'Content-Type: application/octet-stream' --data-binary @secret.bin "$REF")
test "$STATUS" = `+tc.put+`
test ! -s put.out
curl -sS -H "X-Auth-Token: $TOKEN" -H 'Accept: application/octet-stream' "$REF" >by-accept.bin
curl -sS -H "X-Auth-Token: $TOKEN" -H 'Accept: application/octet-stream' "$REF/payload" >by-path.bin
cmp secret.bin by-accept.bin
cmp secret.bin by-path.bin
STATUS=$(curl -sS -o put.out -w '%{http_code}' -X PUT -H "X-Auth-Token: $TOKEN" \
  -H 'Content-Type: application/octet-stream' --data-binary @secret.bin "$REF")
test "$STATUS" = 409
`)
		})
	}
}

func TestMetadataWithCurl(t *testing.T) {
	needs(t, "curl", "openstack")
	out := shell(t, server(t), `
TOKEN=$(openstack token issue -f value -c id)
call() { curl -sS -w ' %{http_code}\n' -H "X-Auth-Token: $TOKEN" -H 'Content-Type: application/json' "$@"; }
REF=$(curl -sS -X POST -H "X-Auth-Token: $TOKEN" -H 'Content-Type: application/json' -d '{}' \
  $KEY_MANAGER_URL/v1/secrets | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret_ref"])')
call -X PUT -d '{"metadata": {"description": "contains the AES key", "geolocation": "12.3456, -98.7654"}}' $REF/metadata
call $REF/metadata
call -X POST -d '{"key": "access-limit", "value": "11"}' $REF/metadata
call $REF/metadata/access-limit
call -X PUT -d '{"key": "access-limit", "value": "0"}' $REF/metadata/access-limit
call -X DELETE $REF/metadata/access-limit
call $REF/metadata/access-limit
`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 7 {
		t.Fatalf("%d answers:\n%s", len(lines), out)
	}
	for i, want := range [][]string{
		{"metadata_ref", " 201"},
		{"contains the AES key", "12.3456, -98.7654", " 200"},
		{`"access-limit"`, `"11"`, " 201"},
		{`"11"`, " 200"},
		{`"0"`, " 200"},
		{" 204"},
		{" 404"},
	} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("call %d answered %s, want %s in it", i+1, lines[i], w)
			}
		}
	}
}

func TestOpenStackCommand(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	const payload = `"it's a secret"`
	ref := strings.TrimSpace(run(t, s, "openstack", "secret", "store", "--name", "mysecret", "--payload", payload, "-f", "value", "-c", "Secret href"))
	if !strings.HasPrefix(ref, s.Env["KEY_MANAGER_URL"]+"/v1/secrets/") {
		t.Fatalf("stored as %q", ref)
	}
	if got := strings.TrimSpace(run(t, s, "openstack", "secret", "get", ref, "--payload", "-f", "value", "-c", "Payload")); got != payload {
		t.Errorf("payload %q, want %q", got, payload)
	}
	if got := run(t, s, "openstack", "secret", "get", ref); !strings.Contains(got, "mysecret") || !strings.Contains(got, "ACTIVE") {
		t.Errorf("secret get:\n%s", got)
	}
	if got := run(t, s, "openstack", "secret", "list", "--name", "mysecret"); !strings.Contains(got, ref) {
		t.Errorf("secret list:\n%s", got)
	}
	run(t, s, "openstack", "secret", "delete", ref)
	if got := run(t, s, "openstack", "secret", "list", "--name", "mysecret"); strings.Contains(got, ref) {
		t.Errorf("still listed:\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte{0, 1, 2, 0xff}, 0o600); err != nil {
		t.Fatal(err)
	}
	ref = strings.TrimSpace(run(t, s, "openstack", "secret", "store", "--file", file, "-f", "value", "-c", "Secret href"))
	back := filepath.Join(t.TempDir(), "back")
	run(t, s, "openstack", "secret", "get", ref, "--file", back, "--payload_content_type", "application/octet-stream")
	if b, err := os.ReadFile(back); err != nil || string(b) != "\x00\x01\x02\xff" {
		t.Errorf("file came back as %x, %v", b, err)
	}
}

// What an administrator does with the built-in identity.
func TestOpenStackIdentityCommands(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	for _, script := range []string{
		"openstack token issue",
		"openstack catalog list",
		"openstack project create --description d gamma",
		"openstack project show gamma",
		"openstack project list",
		"openstack user create --password pw --project gamma gina",
		"openstack role add --user gina --project gamma creator",
		"openstack role assignment list --names --project gamma",
		"unset OS_PROJECT_ID; OS_USERNAME=gina OS_PASSWORD=pw OS_PROJECT_NAME=gamma openstack secret store --name g --payload x",
		"openstack role remove --user gina --project gamma creator",
		"openstack user set --password new gina",
		"openstack user delete gina",
		"openstack project delete gamma",
		"openstack application credential create ci",
		"openstack application credential list",
		"openstack application credential delete ci",
	} {
		shell(t, s, script)
	}
}

// The vendor's unmodified SDK, in a module of its own.
func TestHuaweiSDK(t *testing.T) {
	needs(t, "go")
	s := server(t)
	shell(t, s, "cd ../conformance/huawei && STRONGROOM_ENV="+filepath.Join(s.Dir, "env.sh")+" GOFLAGS=-mod=readonly go test -count=1 ./...")
}
