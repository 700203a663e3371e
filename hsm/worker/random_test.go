package worker_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/fakecki"
)

// Once is settled inside where another session can do better; what lasts tells
// the server what to do.
func TestCodesDuringRandom(t *testing.T) {
	for _, tc := range []struct {
		code          ckr.Code
		once, lasting ckr.Class
	}{
		{0x5, works, ckr.Module},
		{0x7, works, ckr.Module},
		{0xB3, works, ckr.Module},
		{0x90, works, ckr.Module},
		{0xB1, ckr.Busy, ckr.Busy},
		{0x30, ckr.Module, ckr.Module},
		{0x101, ckr.Login, ckr.Login},
		{0x121, ckr.Capability, ckr.Capability},
		{0x54, ckr.Capability, ckr.Capability},
	} {
		t.Run(tc.code.String(), func(t *testing.T) {
			t.Parallel()
			tok, device := fake(t, fakecki.Behaviour{})
			for _, step := range []struct {
				name string
				n    int
				want ckr.Class
			}{{"once", 1, tc.once}, {"for ever", forever, tc.lasting}} {
				device.Behave()
				device.Fail("C_GenerateRandom", tc.code, step.n)
				_, err := tok.Random(t.Context(), 32)
				switch {
				case step.want == works && err != nil:
					t.Errorf("%s: %v", step.name, err)
				case step.want != works && (err == nil || ckr.ClassOf(err) != step.want):
					t.Errorf("%s: %v of class %v, want %v", step.name, err, ckr.ClassOf(err), step.want)
				}
			}
			device.Behave()
			if b, err := tok.Random(t.Context(), 32); err != nil || b.Len() != 32 {
				t.Errorf("afterwards: %d bytes, %v", b.Len(), err)
			}
		})
	}
}
