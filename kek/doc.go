// Package kek is the key hierarchy: which key encrypts what, and when one may
// take over or go.
//
// # Words
//
//	Master key  what callers name; csms/default is each project's default
//	KEK         one version of a master key: one key in the token; wraps DEKs
//	DEK         encrypts one secret version, once
//	Seal, Open  payload to envelope and back, the whole operation
//	Lease       a block of wraps that this process may do under a KEK before it
//	            asks the store again
//
// # Where things are
//
//	kek.go     types, states and their rules
//	seal.go    sealing and opening
//	lease.go   the active KEK of a master key, and how often it may still wrap
//	make.go    a master key's first KEK, exactly one however many race for it
//	backup.go  what leaves the installation sealed and comes back
//	ports.go   what the package needs from the outside
//
// It does not know what a secret is, who may do what, or where rows are kept.
package kek
