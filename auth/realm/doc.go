// Package realm is the built-in identity: users, projects, roles, who has
// which where, and what they prove themselves with.
//
// # Words
//
//	Login                   a request for an access token
//	Access token            256 random bits; only their SHA-256 is kept
//	Grant                   what an access token stands for: user, scope, roles
//	Scope                   the project, or the domain, that a token is good for
//	Access key              AK/SK; its secret is sealed under its project's key
//	Application credential  lets a program be a user with fewer roles
//	Stamp                   a counter in users and projects; a token carries the
//	                        ones it was issued under and dies when one moves on
//
// It is apart from package auth because it writes audit events, and those
// speak of principals: auth has the words, realm the rules.
//
// # How fresh an answer is
//
// What proves a request is remembered for Config.CacheTTL at most, counted from
// before it was read: a change on another node takes effect within that time,
// one on this node at once. Nothing is served past that time: where the
// database is away, so is the answer.
//
// # Where things are
//
//	service.go     Service, its gate and its records
//	login.go       password, token and application credential to access token
//	token.go       access token to principal; validation, revocation
//	accesskey.go   AK/SK
//	credential.go  application credentials
//	project.go     projects, and the region's name as one of them
//	user.go        users and their passwords
//	role.go        roles and assignments
//	accounts.go    a file of accounts, for strongroom dev
//	cache.go       what is remembered, for a few seconds
//	throttle.go    what happens to who guesses
//	ports.go       what the operations need from the outside
package realm
