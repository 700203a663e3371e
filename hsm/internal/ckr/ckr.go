// Package ckr says what a Cryptoki return code means. It is one table for both
// sides of the socket: the worker settles with it what it can, the server turns
// the rest into faults.
//
// The table is pkcs11.md §7.2. A code alone does not always tell who is ill;
// those codes, and all that nobody sorted, are Ambiguous, and the worker asks a
// canary.
package ckr

import (
	"context"
	"errors"
	"fmt"
)

// Code is a CK_RV. Zero stands for what no call returned: the worker itself
// found something wrong.
type Code uint32

// vendorDefined is the first of the codes a vendor may give a meaning of its
// own. Nobody here knows it, so the module is not to be trusted any more.
const vendorDefined Code = 0x80000000

// Class says who is ill: one row, one session, the worker, or nobody.
type Class uint8

const (
	Ambiguous  Class = iota // the row or the token: a canary decides. Also what nobody sorted
	Data                    // this ciphertext does not open; nothing else is touched
	Session                 // close it; once more on a fresh one
	Busy                    // wait for a session until the deadline
	Handle                  // find the object again, then ask which of the two is gone
	Login                   // replace the worker: the next one logs in
	Module                  // replace the worker; the request goes to the next one
	PIN                     // nobody tries again before an operator says so
	Capability              // token and database disagree; alarm
)

// Classes lists every class, for tests and for metrics that want all labels.
var Classes = []Class{Ambiguous, Data, Session, Busy, Handle, Login, Module, PIN, Capability}

var classNames = [...]string{
	"ambiguous", "data", "session", "busy", "handle", "login", "module", "pin", "capability",
}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown class"
}

// Of sorts a code without looking closer.
func Of(c Code) Class {
	if c >= vendorDefined {
		return Module
	}
	return codes[c].class
}

// String gives the number and the standard's name without its CKR_.
func (c Code) String() string {
	if n := codes[c].name; n != "" {
		return fmt.Sprintf("0x%X %s", uint32(c), n)
	}
	return fmt.Sprintf("0x%X", uint32(c))
}

// Error is a call that failed.
type Error struct {
	Call  string // "C_Decrypt"; with Code 0 a few words on what the worker found
	Code  Code
	Class Class // of Code, or what a closer look has settled it to
}

// New returns the error of a call, sorted by its code.
func New(call string, c Code) *Error { return &Error{Call: call, Code: c, Class: Of(c)} }

// Found returns an error that no call reported: the worker found it.
func Found(c Class, what string) *Error { return &Error{Call: what, Class: c} }

// SettledTo returns a copy of e whose class a closer look has found.
func (e *Error) SettledTo(c Class) *Error { return &Error{Call: e.Call, Code: e.Code, Class: c} }

func (e *Error) Error() string {
	if e.Code == 0 {
		return e.Call
	}
	return e.Call + ": " + e.Code.String()
}

// ClassOf returns the class of the first Error in err's chain. Who ran out of
// time waiting was kept waiting: Busy. Any other error is Ambiguous.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Busy
	}
	return Ambiguous
}

// CodeOf returns the code of the first Error in err's chain, or zero.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 0
}
