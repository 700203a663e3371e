// Package secretstore is what Barbican's clients see of the token groups: each
// is a place where secrets can be kept, one takes what nobody asked to have
// elsewhere, and a project may prefer another for what is new.
//
// # Words
//
//	Store        a token group, as clients know it: by an id that stays
//	Global       where the secrets of projects go that prefer none
//	Preference   of a project: where its new secrets go
//
// # Where things are
//
//	secretstore.go  Store, Service and what it needs
//	service.go      the operations
//
// That a preference holds for what is stored from then on is not this package's
// doing: package kek seals in the project's group, and the statement that
// stores a secret proves that it still is the project's.
package secretstore
