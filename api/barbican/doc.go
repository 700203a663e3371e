// Package barbican speaks the OpenStack Key Manager API v1, microversions 1.0
// to 1.2, in the form of today (/v1/secrets/…) and in that of 2013
// (/v1/{project}/secrets/…). It translates: every rule about secrets is in
// package secret. Section numbers in comments are those of the project's
// reference of this API; where we differ from upstream on purpose,
// docs/dialects.md says why.
//
// # Order of checks
//
// Clients and conformance suites see which check answers first: who asks,
// microversion, path, object, method, Accept, may they, Content-Type, body
// (§6.2). Each handler makes its checks in this order, one line each.
//
// # Where things are
//
//	api.go           what an API needs, its routes
//	call.go          one request, and the checks that routes share
//	caller.go        who asks: access token, or no-auth mode
//	microversion.go  OpenStack-API-Version
//	errors.go        faults to answers
//	accept.go        Accept and Content-Type
//	object.go        members of a JSON body
//	query.go         query parameters and paging
//	filter.go        date conditions and sort keys of a list
//	timestamp.go     ISO 8601 in, OpenStack's form out
//	discovery.go     GET /, GET /v1, GET /healthcheck
//	bodies.go        what answers look like
//	secrets.go       create, show, delete
//	payload.go       payload out, payload in
//	list.go          list
//	metadata.go      user metadata
//	secretstores.go  where secrets may be kept, and which place a project prefers
//	transportkeys.go that there are no transport keys
//	quotas.go        quotas of the caller's project, and of any project
//	acl.go           ACLs
//	consumers.go     consumers of secrets
//	containers.go    containers and the secrets in them; container_bodies.go has
//	                 what goes in and out, container_acl.go who may read them,
//	                 container_consumers.go who needs them
//	orders.go        orders; ordermeta.go what is ordered
package barbican
