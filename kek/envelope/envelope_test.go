package envelope_test

import (
	"encoding/hex"
	"testing"

	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// The encoding is part of what is stored: it may never change under this name.
func TestEncodingIsTheDocumentedOne(t *testing.T) {
	b := envelope.Binding{Project: "p", Secret: "s", Version: 258}
	want := hex.EncodeToString([]byte("strongroom-aad-1")) +
		"00000003" + hex.EncodeToString([]byte("dek")) +
		"00000001" + hex.EncodeToString([]byte("p")) +
		"00000001" + hex.EncodeToString([]byte("s")) +
		"00000001" + hex.EncodeToString([]byte("k")) +
		"0000000000000102"
	if got := hex.EncodeToString(b.ForDEK("k")); got != want {
		t.Errorf("ForDEK = %s\nwant     %s", got, want)
	}
}

func TestNoTwoPlacesShareAnEncoding(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, enc []byte) {
		t.Helper()
		if other, ok := seen[string(enc)]; ok {
			t.Errorf("%s and %s share an encoding", what, other)
		}
		seen[string(enc)] = what
	}
	for _, b := range []envelope.Binding{
		{"ab", "c", 1}, {"a", "bc", 1}, {"", "abc", 1}, {"abc", "", 1},
		{"ab", "c", 2}, {"ab", "c", 256}, {"ab", "c\x00", 1},
	} {
		name := b.Project + "/" + b.Secret
		add("body of "+name, b.ForBody())
		add("dek of "+name, b.ForDEK(""))
		add("dek under k of "+name, b.ForDEK("k"))
	}
	add("backup", envelope.ForBackup("k"))
	add("other backup", envelope.ForBackup("l"))
	add("dek of the installation", envelope.Binding{Project: envelope.Installation}.ForDEK("k"))
	add("canary", envelope.ForCanary("k"))
	add("other canary", envelope.ForCanary("l"))
}
