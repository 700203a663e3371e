package envelope_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/kek/envelope"
)

func aBlob() envelope.Blob {
	return envelope.Blob{
		KEK:        "0a1b2c3d-0000-4000-8000-000000000001",
		WrappedDEK: bytes.Repeat([]byte{0xd1}, 62),
		Body:       []byte("twelve bytes" + "content" + "sixteen byte tag"),
	}
}

// The form is what callers keep for years: it may never change.
func TestBlobIsTheDocumentedOne(t *testing.T) {
	const want = ")CloudSecretManagementBackupV1.com" +
		"eyJhbGciOiJ1cm46c3Ryb25ncm9vbTprZWsiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiMGExYjJjM2QtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDAxIn0" +
		".0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dE" +
		".dHdlbHZlIGJ5dGVz.Y29udGVudA.c2l4dGVlbiBieXRlIHRhZw"
	if got := aBlob().Text(); got != want {
		t.Errorf("Text = %s\nwant   %s", got, want)
	}
	b, err := envelope.ParseBlob(want)
	if diff := cmp.Diff(aBlob(), b); err != nil || diff != "" {
		t.Errorf("parsed with %v (-want +got):\n%s", err, diff)
	}
}

// Whatever else parses means something else, so that authentication finds it.
func TestEachBlobHasOneText(t *testing.T) {
	text := aBlob().Text()
	for i := range len(text) {
		for _, c := range []byte{text[i] + 1, text[i] ^ 0x20, '\n', '=', '.', 'A', 'w'} {
			other := []byte(text)
			other[i] = c
			b, err := envelope.ParseBlob(string(other))
			if string(other) == text {
				continue
			}
			if err == nil && b.Text() != string(other) || err != nil && !errors.Is(err, envelope.ErrBlob) {
				t.Errorf("byte %d as %q: %v", i, c, err)
			}
			if err == nil && cmp.Equal(b, aBlob()) {
				t.Errorf("byte %d as %q means the same", i, c)
			}
		}
	}
	for _, other := range []string{
		"", "\n" + text, text + "\n", text + ".", text + "A", text + "=", text[1:], strings.TrimPrefix(text, envelope.BlobPrefix),
		envelope.BlobPrefix, envelope.BlobPrefix + "....", envelope.BlobPrefix + text, strings.Replace(text, ".Y29", ".\r\nY29", 1),
		text + strings.Repeat("A", envelope.MaxBlob),
	} {
		if _, err := envelope.ParseBlob(other); !errors.Is(err, envelope.ErrBlob) {
			t.Errorf("%.80q: %v, want ErrBlob", other, err)
		}
	}
}

func FuzzParseBlob(f *testing.F) {
	text := aBlob().Text()
	for _, s := range []string{text, text[:len(text)-1], envelope.BlobPrefix + "....", envelope.BlobPrefix, "", text + ".A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := envelope.ParseBlob(text)
		switch {
		case err == nil && b.Text() != text:
			t.Errorf("%q is written %q", text, b.Text())
		case err == nil && len(b.Body)+len(b.WrappedDEK) > len(text):
			t.Errorf("%d bytes of %d", len(b.Body)+len(b.WrappedDEK), len(text))
		case err != nil && !errors.Is(err, envelope.ErrBlob):
			t.Errorf("%q: %v", text, err)
		}
	})
}
