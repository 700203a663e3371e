// Package quota has the limits of what a project may have: the operator's
// defaults, and what an administrator set for one project.
//
// This package says what the limits are. That they are kept is the store's
// work: the statement that makes something finds out whether there is room, so
// that no two can take the last place. It answers with ErrReached, and the
// domain that wanted to make something records the refusal.
//
// # Where things are
//
//	quota.go    resources, limits, errors
//	service.go  Service: showing, listing, setting, removing
package quota
