// Package csms is the dialect of Cloud Secret Management Service v1: secrets
// with versions and stages, for the vendor's SDKs, Terraform and plain HTTP
// (csms.md). It translates; what a secret may do is package secret's.
//
// A request is authenticated by an access token or by a signature (package
// aksk), and belongs to the project in its path.
//
// # Where things are
//
//	api.go       API, the route table, who is asking
//	paths.go     paths that no router should see, and methods that a path lacks
//	codes.go     faults to statuses and the dialect's codes
//	secrets.go   create, list, show, update, delete a secret
//	schedule.go  plan a deletion, cancel it
//	batch.go     create and read many at once
//	tags.go      tags; tagged.go secrets by their tags
//	events.go    events that secrets subscribe to; records.go what was told of them
//	password.go  random passwords
//	versions.go  create, list, show, update a version
//	stages.go    show, move, delete a stage
//	backup.go    take a secret out as a blob, and bring it back
//	fields.go    members of a request body, one by one
//	value.go     secret_string and secret_binary, and the shape of a database account
//	rotation.go  rotation_config in its three spellings and two quotings
//	names.go     names, identifiers, times
//	bodies.go    what is answered
//
// # Which check comes first
//
// Who asks (401), whether the project is theirs (403), whether they may (403),
// whether it exists (404), then the query and the body (400). So neither an
// error in a body nor a missing secret tells anything to who may not know.
package csms
