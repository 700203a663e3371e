package cryptoki_test

import (
	"bytes"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// The numbers here are typed by hand; the binding has them from the standard's
// header files.
func TestNumbersAreTheStandards(t *testing.T) {
	for name, pair := range map[string][2]uint{
		"CKA_CLASS":              {uint(cryptoki.Class), pkcs11.CKA_CLASS},
		"CKA_TOKEN":              {uint(cryptoki.OnToken), pkcs11.CKA_TOKEN},
		"CKA_PRIVATE":            {uint(cryptoki.Private), pkcs11.CKA_PRIVATE},
		"CKA_LABEL":              {uint(cryptoki.Label), pkcs11.CKA_LABEL},
		"CKA_VALUE":              {uint(cryptoki.Value), pkcs11.CKA_VALUE},
		"CKA_CHECK_VALUE":        {uint(cryptoki.CheckValue), pkcs11.CKA_CHECK_VALUE},
		"CKA_KEY_TYPE":           {uint(cryptoki.KeyType), pkcs11.CKA_KEY_TYPE},
		"CKA_ID":                 {uint(cryptoki.ID), pkcs11.CKA_ID},
		"CKA_SENSITIVE":          {uint(cryptoki.Sensitive), pkcs11.CKA_SENSITIVE},
		"CKA_ENCRYPT":            {uint(cryptoki.MayEncrypt), pkcs11.CKA_ENCRYPT},
		"CKA_DECRYPT":            {uint(cryptoki.MayDecrypt), pkcs11.CKA_DECRYPT},
		"CKA_WRAP":               {uint(cryptoki.MayWrap), pkcs11.CKA_WRAP},
		"CKA_UNWRAP":             {uint(cryptoki.MayUnwrap), pkcs11.CKA_UNWRAP},
		"CKA_SIGN":               {uint(cryptoki.MaySign), pkcs11.CKA_SIGN},
		"CKA_VERIFY":             {uint(cryptoki.MayVerify), pkcs11.CKA_VERIFY},
		"CKA_DERIVE":             {uint(cryptoki.MayDerive), pkcs11.CKA_DERIVE},
		"CKA_VALUE_LEN":          {uint(cryptoki.ValueLen), pkcs11.CKA_VALUE_LEN},
		"CKA_EXTRACTABLE":        {uint(cryptoki.Extractable), pkcs11.CKA_EXTRACTABLE},
		"CKA_LOCAL":              {uint(cryptoki.Local), pkcs11.CKA_LOCAL},
		"CKA_NEVER_EXTRACTABLE":  {uint(cryptoki.NeverExtractable), pkcs11.CKA_NEVER_EXTRACTABLE},
		"CKA_ALWAYS_SENSITIVE":   {uint(cryptoki.AlwaysSensitive), pkcs11.CKA_ALWAYS_SENSITIVE},
		"CKA_MODIFIABLE":         {uint(cryptoki.Modifiable), pkcs11.CKA_MODIFIABLE},
		"CKA_COPYABLE":           {uint(cryptoki.Copyable), pkcs11.CKA_COPYABLE},
		"CKA_ALLOWED_MECHANISMS": {uint(cryptoki.AllowedMechanisms), pkcs11.CKA_ALLOWED_MECHANISMS},
		"CKM_AES_CBC_PAD":        {uint(cryptoki.AESCBCPad), pkcs11.CKM_AES_CBC_PAD},
		"CKM_AES_GCM":            {uint(cryptoki.AESGCM), pkcs11.CKM_AES_GCM},
		"CKM_AES_KEY_WRAP":       {uint(cryptoki.AESKeyWrap), pkcs11.CKM_AES_KEY_WRAP},
		"CKM_SHA256_HMAC":        {uint(cryptoki.SHA256HMAC), pkcs11.CKM_SHA256_HMAC},
		"CKO_SECRET_KEY":         {cryptoki.SecretKey, pkcs11.CKO_SECRET_KEY},
		"CKK_GENERIC_SECRET":     {cryptoki.GenericSecret, pkcs11.CKK_GENERIC_SECRET},
		"CKK_AES":                {cryptoki.AES, pkcs11.CKK_AES},
		"CKF_USER_PIN_FINAL_TRY": {cryptoki.FlagUserPINFinalTry, pkcs11.CKF_USER_PIN_FINAL_TRY},
		"CKF_USER_PIN_LOCKED":    {cryptoki.FlagUserPINLocked, pkcs11.CKF_USER_PIN_LOCKED},
		"CKF_TOKEN_INITIALIZED":  {cryptoki.FlagTokenInitialized, pkcs11.CKF_TOKEN_INITIALIZED},
		"CKF_USER_PIN_INITIALIZED": {
			cryptoki.FlagUserPINInitialized, pkcs11.CKF_USER_PIN_INITIALIZED},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is 0x%X here and 0x%X in the standard", name, pair[0], pair[1])
		}
	}
}

func TestAttributesLookAsInC(t *testing.T) {
	for _, tc := range []struct{ got, want []byte }{
		{cryptoki.Bool(cryptoki.OnToken, true).Value, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true).Value},
		{cryptoki.Bool(cryptoki.OnToken, false).Value, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false).Value},
		{cryptoki.Ulong(cryptoki.ValueLen, 32).Value, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32).Value},
	} {
		if !bytes.Equal(tc.got, tc.want) {
			t.Errorf("%x, want %x", tc.got, tc.want)
		}
	}
}

func TestLimitKnowsWhatTokensDoNotSay(t *testing.T) {
	for max, want := range map[uint]int{0: 0, cryptoki.Unavailable: 0, 16: 16, 1024: 1024} {
		if got := (cryptoki.TokenInfo{MaxSessions: max}).Limit(); got != want {
			t.Errorf("Limit of %d = %d, want %d", max, got, want)
		}
	}
}
