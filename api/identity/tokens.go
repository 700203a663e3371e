package identity

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

const subjectHeader = "X-Subject-Token"

var errNoSubject = fault.New(fault.Invalid, "The X-Subject-Token header is missing.")

// showToken serves GET and HEAD /v3/auth/tokens.
func (a *API) showToken(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	subject := r.Header.Get(subjectHeader)
	if subject == "" {
		return errNoSubject
	}
	g, err := a.Realm.Validate(r.Context(), who, subject, q.on("allow_expired"))
	if err != nil {
		return err
	}
	w.Header().Set(subjectHeader, subject)
	a.writeGrant(w, http.StatusOK, g, q)
	return nil
}

// revokeToken serves DELETE /v3/auth/tokens.
func (a *API) revokeToken(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	subject := r.Header.Get(subjectHeader)
	if subject == "" {
		return errNoSubject
	}
	return noContent(w, a.Realm.Revoke(r.Context(), who, subject))
}
