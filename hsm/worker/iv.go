package worker

import (
	"bytes"
	"crypto/rand"
	"sync"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
)

// gcmIVBytes is what we make ourselves: 96 random bits. One KEK may wrap 2^32
// DEKs with such IVs before a collision becomes likely (SP 800-38D, 8.3); the
// server counts, rotates at 2^30 and refuses at 2^32.
const gcmIVBytes = 12

// ivs makes or receives the IVs of format 1 as the token's convention has it,
// and keeps an eye on what the token makes: the IV that is stored must be the
// one that was used, and no token may use one twice in a row.
type ivs struct {
	convention IVConvention

	mu   sync.Mutex
	last []byte // the latest IV of the token's making
}

// offer returns what goes into the call. For write-back it is zeros: Google's
// library insists on them, CloudHSM ignores them (pkcs11.md §4.4).
func (v *ivs) offer() ([]byte, error) {
	switch v.convention {
	case IVWriteback:
		return make([]byte, gcmIVBytes), nil
	case IVAppended:
		return nil, nil
	}
	iv := make([]byte, gcmIVBytes)
	_, err := rand.Read(iv)
	return iv, err
}

// take returns the IV that the token used and the ciphertext without it. left
// is what the token left in the parameter, out is its output.
func (v *ivs) take(offered, left, out []byte) (iv, body []byte, err error) {
	const want = blob.DEKBytes + blob.GCMTagBytes
	if v.convention == IVAppended {
		if n := len(out) - want; n != 12 && n != 16 {
			return nil, nil, ckr.Found(ckr.Capability, "token appended no IV to the ciphertext, against gcm_iv = appended")
		}
		body, iv = out[:want:want], out[want:]
		return iv, body, v.changing(iv)
	}
	if len(out) != want {
		return nil, nil, ckr.Found(ckr.Capability, "ciphertext is longer than text and tag: does the token append its IV? (gcm_iv)")
	}
	if v.convention == IVWriteback {
		if len(left) != gcmIVBytes {
			return nil, nil, ckr.Found(ckr.Capability, "token wrote back an IV of another length than 12")
		}
		return left, out, v.changing(left)
	}
	if !bytes.Equal(left, offered) {
		return nil, nil, ckr.Found(ckr.Capability, "token replaced the IV it was given (gcm_iv = writeback?)")
	}
	return offered, out, nil
}

// changing refuses zeros and the same IV twice in a row. Under one key the
// second would give both texts away; better no DEK than that.
func (v *ivs) changing(iv []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if bytes.Count(iv, []byte{0}) == len(iv) {
		return ckr.Found(ckr.Capability, "token made an IV of zeros")
	}
	if bytes.Equal(iv, v.last) {
		return ckr.Found(ckr.Capability, "token used one IV twice")
	}
	v.last = append(v.last[:0], iv...)
	return nil
}
