package ckr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
)

// rows is pkcs11.md §7.2 as printed, row by row, so that a change of the table
// in the product is a change here too.
var rows = map[ckr.Class][]ckr.Code{
	ckr.Data:      {0x40, 0x41, 0x42, 0x110, 0x112, 0xC0, 0xC1, 0x20, 0x21},
	ckr.Ambiguous: {0x5, 0x6, 0x7},
	ckr.Session:   {0xB3, 0xB0, 0x90, 0x91, 0x50, 0x202, 0x150},
	ckr.Busy:      {0xB1, 0x31, 0x201},
	ckr.Handle:    {0x82, 0x60, 0x113, 0xF0, 0x65},
	ckr.Login:     {0x101},
	ckr.Module:    {0x30, 0x32, 0xE0, 0xE1, 0x190, 0x3, 0x2, 0x9, 0xA, 0x1A0, 0x1A1, 0x80000000, 0xFFFFFFFF},
	ckr.PIN:       {0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0x102, 0x103, 0x104},
	ckr.Capability: {0x70, 0x71, 0x54, 0x68, 0x62, 0x63, 0x69, 0x6A, 0xD0, 0xD1, 0x10, 0x11, 0x12, 0x13, 0xB5, 0xE2, 0x1B,
		0x121}, // not in the table: a token without a random number generator
}

func TestOfFollowsTheTable(t *testing.T) {
	sorted := map[ckr.Code]bool{}
	for class, codes := range rows {
		for _, code := range codes {
			sorted[code] = true
			if got := ckr.Of(code); got != class {
				t.Errorf("Of(%v) = %v, want %v", code, got, class)
			}
		}
	}
	for code := ckr.Code(0); code < 0x300; code++ {
		if got := ckr.Of(code); !sorted[code] && got != ckr.Ambiguous {
			t.Errorf("Of(%v) = %v, but no row has it", code, got)
		}
	}
}

func TestEveryClassHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range ckr.Classes {
		if n := c.String(); n == "" || n == "unknown class" || seen[n] {
			t.Errorf("class %d has the name %q", c, n)
		} else {
			seen[n] = true
		}
	}
	if len(rows) != len(ckr.Classes) {
		t.Errorf("the table has %d classes, the package %d", len(rows), len(ckr.Classes))
	}
}

func TestErrorNamesCallAndCode(t *testing.T) {
	for _, tc := range []struct {
		err  *ckr.Error
		want string
	}{
		{ckr.New("C_Decrypt", 0x40), "C_Decrypt: 0x40 ENCRYPTED_DATA_INVALID"},
		{ckr.New("C_EncryptInit", 0x32), "C_EncryptInit: 0x32 DEVICE_REMOVED"},
		{ckr.New("C_Login", 0x80000123), "C_Login: 0x80000123"},
		{ckr.Found(ckr.Data, "wrapped DEK of 3 bytes"), "wrapped DEK of 3 bytes"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("Error() = %q, want %q", got, tc.want)
		}
	}
}

func TestClassOf(t *testing.T) {
	general := ckr.New("C_Decrypt", ckr.GeneralError)
	for _, tc := range []struct {
		name string
		err  error
		want ckr.Class
	}{
		{"wrapped on the way up", fmt.Errorf("unwrap: %w", ckr.New("C_Decrypt", 0x40)), ckr.Data},
		{"settled", general.SettledTo(ckr.Module), ckr.Module},
		{"joined with the error of closing", errors.Join(ckr.New("C_Decrypt", 0xB3), ckr.New("C_CloseSession", 0x30)), ckr.Session},
		{"a deadline", context.DeadlineExceeded, ckr.Busy},
		{"a caller that left", context.Canceled, ckr.Busy},
		{"anything else", io.EOF, ckr.Ambiguous},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ckr.ClassOf(tc.err); got != tc.want {
				t.Errorf("ClassOf = %v, want %v", got, tc.want)
			}
		})
	}
	if general.Class != ckr.Ambiguous {
		t.Error("SettledTo changed the error it was called on")
	}
}
