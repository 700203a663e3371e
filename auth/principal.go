// Package auth knows who is asking: users, projects, roles, and what they show
// to prove it: access tokens, application credentials, access keys.
package auth

import (
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
)

// ProjectID names a tenant. It is opaque: up to 255 characters, 32 hex digits
// where the built-in identity made it.
type ProjectID string

// Installation owns what belongs to no project. No project may be called so;
// whatever takes a project's name from outside asks Reserved.
const Installation ProjectID = envelope.Installation

// Reserved reports whether p cannot be a project.
func (p ProjectID) Reserved() bool { return p == Installation }

// UserID names a user.
type UserID string

// Method is how a caller proved who it is.
type Method string

const (
	ByToken     Method = "token"     // X-Auth-Token
	BySignature Method = "signature" // AK/SK
	ByHeader    Method = "header"    // no-auth mode: the caller says so itself
	ByOperator  Method = "operator"  // a command on the machine
	ByOrder     Method = "order"     // the server itself, for an order of that user
)

// Principal is who asks, in which project and through which door. It is a
// value of one request; the roles are shared and must not be changed.
type Principal struct {
	User     UserID // empty only in no-auth mode without X-User-Id
	UserName string
	Domain   string    // domain ID of the user
	Project  ProjectID // the scope; every dialect but identity requires one
	// ProjectDomain is the ID of the project's domain. What leaves the
	// installation goes back there and to no other.
	ProjectDomain string
	Roles         []string // lower case, implied roles included
	Method        Method
	Credential    string // access key ID or application credential ID; empty for a password's token
	Family        policy.Family

	Request string // request ID, for the audit event and the log
	From    string // remote address
}

// Tokens are the access tokens of one request.
type Tokens struct {
	User    string
	Service string // of a service that calls for the user; mostly empty
}

// Has reports whether the principal holds role, which is in lower case.
func (p Principal) Has(role string) bool {
	for _, r := range p.Roles {
		if r == role {
			return true
		}
	}
	return false
}
