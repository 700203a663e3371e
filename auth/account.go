package auth

import "time"

// Domain is a name space of users and projects. The built-in identity has
// exactly one.
type Domain struct{ ID, Name string }

// DefaultDomain is where every user and project of the built-in identity lives.
// Clients send its name or its identifier.
var DefaultDomain = Domain{ID: "default", Name: "Default"}

// Project is a tenant.
type Project struct {
	ID          ProjectID // 32 lower-case hex digits
	Name        string
	Description string
	Enabled     bool
	CreatedAt   time.Time
}

// User is a person or a program that may prove who it is.
type User struct {
	ID             UserID // 32 lower-case hex digits
	Name           string
	Email          string
	Description    string
	Enabled        bool
	DefaultProject ProjectID // scope of a login that names none; may be empty
	CreatedAt      time.Time
	PasswordAt     time.Time // when the password was set; zero: there is none
}

// RoleID names a role. It is 32 lower-case hex digits.
type RoleID string

// Role is a word that the policy knows. Its name is in lower case.
type Role struct {
	ID          RoleID
	Name        string
	Description string
}

// Assignment gives a user a role in a project, or in the domain, which then
// stands in the project's place.
type Assignment struct {
	Project ProjectID
	User    UserID
	Role    RoleID
}

// InDomain is the project of an assignment in the domain.
var InDomain = ProjectID(DefaultDomain.ID)

// implied says which roles come with a role, as Keystone's bootstrap has it.
var implied = map[string][]string{
	"admin":  {"member", "reader"},
	"member": {"reader"},
}

// Implied adds to names what they imply, each name once. It does not change
// its argument.
func Implied(names []string) []string {
	out := make([]string, 0, len(names)+2)
	seen := make(map[string]bool, len(names)+2)
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	for _, n := range names {
		add(n)
	}
	for _, n := range names {
		for _, i := range implied[n] {
			add(i)
		}
	}
	return out
}

// ImpliedBy returns the names of the roles that come with one role.
func ImpliedBy(name string) []string { return implied[name] }
