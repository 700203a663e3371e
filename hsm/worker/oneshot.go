package worker

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// As much of CK_FUNCTION_LIST as is needed to find two of its entries. The
// order is the standard's (PKCS#11 v2.40, 3.6) and never changes.
struct functions { unsigned char version[2]; void *entry[68]; };

enum { encryptEntry = 30, decryptEntry = 34 };

typedef unsigned long (*get_list)(struct functions **);
typedef unsigned long (*crypt_fn)(unsigned long session, unsigned char *in, unsigned long n, unsigned char *out, unsigned long *m);

#cgo noescape runCrypt
#cgo nocallback runCrypt
static unsigned long runCrypt(void *f, unsigned long session, unsigned char *in, unsigned long n, unsigned char *out, unsigned long *m) {
	return ((crypt_fn)f)(session, in, n, out, m);
}

static struct functions *findFunctions(const char *path) {
	void *lib = dlopen(path, RTLD_LAZY);
	get_list get = lib ? (get_list)dlsym(lib, "C_GetFunctionList") : NULL;
	struct functions *list = NULL;
	if (get == NULL || get(&list) != 0) return NULL;
	return list;
}

static void *entryOf(struct functions *list, int i) { return list->entry[i]; }
*/
import "C"

import (
	"errors"
	"unsafe"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// oneShot is C_Encrypt or C_Decrypt, called once and with a buffer of ours. The
// binding asks for the length first and then lets the module write into memory
// of its own, for which there are three reasons not to:
//
//   - when the second call fails, it forgets to free that memory: every
//     tampered row would cost the worker 64 bytes for ever;
//   - it frees the memory of a decrypted DEK without wiping it
//     (pkcs11.md §9.2);
//   - the first call is a round trip on a network HSM, and some tokens answer
//     it wrongly (NSS) or begin the operation with it (tpm2-pkcs11; §1.3).
type oneShot struct{ f unsafe.Pointer }

// slack is how much longer than its input an output may be: an IV and a tag,
// or a block of padding, twice over.
const slack = 64

var errFunctions = errors.New("module has no function list")

// findOneShots finds the two functions in the module at path, which is loaded
// already.
func findOneShots(path string) (encrypt, decrypt oneShot, err error) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	list := C.findFunctions(p)
	if list == nil {
		return oneShot{}, oneShot{}, errFunctions
	}
	encrypt = oneShot{C.entryOf(list, C.encryptEntry)}
	decrypt = oneShot{C.entryOf(list, C.decryptEntry)}
	if encrypt.f == nil || decrypt.f == nil {
		return oneShot{}, oneShot{}, errFunctions
	}
	return encrypt, decrypt, nil
}

// run returns the output in memory of its own. Nothing of it is left where the
// call failed.
func (o oneShot) run(call string, s cryptoki.Session, in []byte) ([]byte, error) {
	if len(in) == 0 {
		return nil, ckr.New(call, ckr.ArgumentsBad) // C could not point to it
	}
	out := make([]byte, len(in)+slack)
	n := C.ulong(len(out))
	rv := C.runCrypt(o.f, C.ulong(s), (*C.uchar)(&in[0]), C.ulong(len(in)), (*C.uchar)(&out[0]), &n)
	if rv != 0 || int(n) > len(out) {
		clear(out)
		if rv == 0 {
			return nil, ckr.Found(ckr.Module, call+" wrote more than there was room for")
		}
		return nil, ckr.New(call, ckr.Code(rv))
	}
	return out[:n:n], nil
}
