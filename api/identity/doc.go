// Package identity is the built-in identity as OpenStack's and Huawei Cloud's
// clients know it: Keystone's v3 API, as far as they use it.
//
// # Where things are
//
//	api.go          API, its routes and who is asking
//	fields.go       what a body or a query must look like
//	faults.go       errors in Keystone's words
//	versions.go     what there is to talk to
//	catalog.go      where the other services are
//	login.go        an access token for a password, a token or a credential
//	tokens.go       validating and revoking access tokens
//	projects.go, users.go, roles.go
//	                who is who
//	credentials.go  application credentials
//	accesskeys.go   AK/SK, by three names: Keystone's credentials, its older
//	                OS-EC2, and Huawei's OS-CREDENTIAL
//
// # What there is not
//
// There is one domain, and there are no groups, trusts, limits or federation:
// lists of those are empty, and changing them is not possible.
package identity
