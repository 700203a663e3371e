package keypair

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// How a private key is encrypted: PBES2 (RFC 8018) with PBKDF2-HMAC-SHA-256
// and AES-256-CBC, which OpenSSL, Java and Python's cryptography all read.
const (
	iterations = 600_000 // a guess costs as much as OWASP asks for (2023)
	saltBytes  = 16
	keyBytes   = 32
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// encryptedPrivateKey is EncryptedPrivateKeyInfo (RFC 5958).
type encryptedPrivateKey struct {
	Algorithm scheme
	Data      []byte
}

// scheme is the AlgorithmIdentifier of PBES2.
type scheme struct {
	OID        asn1.ObjectIdentifier
	Parameters struct {
		KDF struct {
			OID        asn1.ObjectIdentifier
			Parameters kdfParameters
		}
		Cipher struct {
			OID asn1.ObjectIdentifier
			IV  []byte
		}
	}
}

// kdfParameters is PBKDF2-params; the length of the key follows from the cipher.
type kdfParameters struct {
	Salt       []byte
	Iterations int
	PRF        pkix.AlgorithmIdentifier
}

// encrypt makes an EncryptedPrivateKeyInfo of a PrivateKeyInfo.
func encrypt(plain []byte, passphrase sensitive.Bytes) ([]byte, error) {
	var out encryptedPrivateKey
	salt, iv := make([]byte, saltBytes), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt) // never fails since Go 1.24: it ends the process instead
	_, _ = rand.Read(iv)
	out.Algorithm.OID = oidPBES2
	p := &out.Algorithm.Parameters
	p.KDF.OID = oidPBKDF2
	p.KDF.Parameters = kdfParameters{salt, iterations, pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}}
	p.Cipher.OID, p.Cipher.IV = oidAES256CBC, iv

	key, err := pbkdf2.Key(sha256.New, string(passphrase.Reveal()), salt, iterations, keyBytes)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// Padding as of PKCS#7: a whole block where the length fits already.
	n := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	out.Data = padded
	return asn1.Marshal(out)
}
