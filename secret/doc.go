// Package secret is the secret store: what a secret is, what may happen to it,
// and in which order.
//
// # Words
//
//	Secret    a named thing with one or more versions
//	Version   one immutable payload; numbers start at 1 and are never reused
//	Stage     a movable label on a version: current, previous, pending, own ones
//	Payload   the plaintext; exists only inside one call
//	Metadata  a user's own pairs on a Barbican secret
//	ACL       who may read a secret beside those whom the roles let
//	Tag       an owner's word for what a CSMS secret is for
//	Consumer  a resource of another service that needs the secret
//	Handle    how a caller names a secret: by UUID, by name, in a project or not
//
// # Two dialects, one store
//
// A Barbican secret is a Secret with at most one version. A CSMS secret is one
// with many versions and stages. The rules for both live here; the packages
// under api only translate.
//
// # One gate
//
// Whoever wants something of a secret first locates it, which tells no more
// than that it exists, and then calls an operation on the Located. Each
// operation asks the judge before it changes or reveals anything, and each
// answer, also a refusal and a miss, is recorded before it leaves.
//
// # Where things are
//
//	secret.go    the types
//	acl.go       who may read beside the roles
//	stage.go     how stages move and which versions are purged
//	service.go   Service and Locate
//	create.go    making secrets; made.go those that the server makes itself
//	reveal.go    showing and revealing
//	change.go    new versions, payloads, stages, attributes, deletion
//	schedule.go  planning a deletion, and taking that back
//	backup.go    a secret as a blob and back; content.go what is in the blob
//	purge.go     removing those whose time is over
//	many.go      revealing several at once
//	metadata.go  user metadata
//	tags.go      tags, and finding secrets by them
//	consumers.go who needs the secret, and deletion while nobody does
//	list.go      listing, in either dialect's way
//	rotation.go  how a rotation period is written
//	password.go  random passwords
//	rotate.go    what a rotation does to versions and stages
//	ports.go     what the operations need from the outside
//
// The package does no I/O of its own and imports no transport, no SQL and no
// PKCS#11. Package arch has a test that says so.
package secret
