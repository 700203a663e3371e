// Package soak holds what the store does over a long time against what it
// should do: random operations against a plain model, and several nodes on one
// database against a checker of linearizability.
//
// It is tests only. `make test` runs some thousand steps of each, `make soak`
// (SOAK=1) a million steps and a hundred thousand operations; both end by
// themselves.
package soak
