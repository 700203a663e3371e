package blob_test

import (
	"bytes"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/key"
)

func filled(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func wrapped(f key.Format, iv, body int) []byte {
	return blob.Wrapped{Format: f, IV: filled(iv, 0xA1), Body: filled(body, 0xB2)}.Marshal()
}

func TestParseAcceptsEachFormat(t *testing.T) {
	for _, tc := range []struct {
		name     string
		format   key.Format
		iv, body int
		size     int
	}{
		{"GCM with the usual IV", key.A256GCM, 12, 48, 62},
		{"GCM with a token's long IV", key.A256GCM, 16, 48, 66},
		{"CBC and HMAC", key.A256CBCHS256, 16, 80, 98},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := wrapped(tc.format, tc.iv, tc.body)
			if len(in) != tc.size {
				t.Errorf("%d bytes, want %d", len(in), tc.size)
			}
			w, err := blob.Parse(in)
			if err != nil {
				t.Fatal(err)
			}
			if w.Format != tc.format || !bytes.Equal(w.IV, filled(tc.iv, 0xA1)) || !bytes.Equal(w.Body, filled(tc.body, 0xB2)) {
				t.Errorf("Parse = %+v", w)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := wrapped(key.A256GCM, 12, 48)
	for _, tc := range []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"a format byte alone", good[:1]},
		{"a header alone", good[:2]},
		{"one byte less", good[:len(good)-1]},
		{"one byte more", append(bytes.Clone(good), 0)},
		{"format 0", wrapped(key.Auto, 12, 48)},
		{"a format nobody knows", wrapped(3, 12, 48)},
		{"GCM without an IV", wrapped(key.A256GCM, 0, 48)},
		{"GCM with an IV of 13 bytes", wrapped(key.A256GCM, 13, 48)},
		{"an IV longer than the rest", []byte{byte(key.A256GCM), 255, 1, 2}},
		{"CBC with an IV of 12 bytes", wrapped(key.A256CBCHS256, 12, 80)},
		{"CBC without its MAC", wrapped(key.A256CBCHS256, 16, 48)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if w, err := blob.Parse(tc.in); err == nil {
				t.Errorf("accepted as %+v", w)
			}
		})
	}
}

func TestPartsCannotGrowIntoEachOther(t *testing.T) {
	in := wrapped(key.A256CBCHS256, 16, 80)
	w, err := blob.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(in)
	ciphertext, mac := w.Split()
	_ = append(w.IV, 0xFF)
	_ = append(ciphertext, 0xFF)
	if !bytes.Equal(in, before) {
		t.Error("appending to one part wrote into the next")
	}
	if len(ciphertext) != 48 || len(mac) != 32 {
		t.Errorf("Split = %d and %d bytes", len(ciphertext), len(mac))
	}
}

func TestFormatByteIsCovered(t *testing.T) {
	if got := blob.GCMAAD([]byte("aad")); !bytes.Equal(got, []byte("aad\x01")) {
		t.Errorf("GCMAAD = %q", got)
	}
	got := blob.MACInput([]byte("IV"), []byte("aad"), []byte("ct"))
	if want := []byte("\x02IV\x00\x00\x00\x00\x00\x00\x00\x03aadct"); !bytes.Equal(got, want) {
		t.Errorf("MACInput = %q, want %q", got, want)
	}
}

// What Parse accepts, Marshal gives back byte for byte: one wrapped DEK has
// one encoding, so nobody can craft a second one for the same key.
func FuzzParse(f *testing.F) {
	f.Add(wrapped(key.A256GCM, 12, 48))
	f.Add(wrapped(key.A256GCM, 16, 48))
	f.Add(wrapped(key.A256CBCHS256, 16, 80))
	f.Add([]byte{byte(key.A256GCM), 12})
	f.Fuzz(func(t *testing.T, in []byte) {
		w, err := blob.Parse(in)
		if err != nil {
			return
		}
		if out := w.Marshal(); !bytes.Equal(out, in) {
			t.Errorf("Marshal(Parse(%x)) = %x", in, out)
		}
	})
}

func TestKeysOpenWhatTheyWrap(t *testing.T) {
	k := blob.Keys{Enc: [32]byte(filled(32, 1)), MAC: [32]byte(filled(32, 2))}
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		dek := filled(32, 0xDE)
		in, err := k.Wrap(f, dek, []byte("here"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := blob.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := k.Open(w, []byte("here")); !ok || !bytes.Equal(got, dek) {
			t.Errorf("%v: Open = %x, %v", f, got, ok)
		}
		if _, ok := k.Open(w, []byte("there")); ok {
			t.Errorf("%v: opens in another place", f)
		}
		for i := 2; i < len(in); i++ {
			bad := bytes.Clone(in)
			bad[i] ^= 1
			w, err := blob.Parse(bad)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := k.Open(w, []byte("here")); ok {
				t.Errorf("%v: opens with byte %d changed", f, i)
			}
		}
	}
	if _, err := k.Wrap(key.A256GCM, filled(31, 0), nil); err == nil {
		t.Error("wrapped 31 bytes")
	}
	if _, err := k.Wrap(key.Auto, filled(32, 0), nil); err == nil {
		t.Error("wrapped in no format")
	}
}
