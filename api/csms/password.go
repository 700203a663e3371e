package csms

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

func (a *API) passwordRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/{project_id}/csms/generate-password", handle: a.generatePassword}, // 31
	}
}

type passwordAnswer struct {
	Password string `json:"password"`
}

// generatePassword serves POST /v1/{project_id}/csms/generate-password.
func (a *API) generatePassword(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Secrets.MayPassword(r.Context(), who); err != nil {
		return err
	}
	f, err := readFieldsIfAny(r)
	if err != nil {
		return err
	}
	rules, err := passwordRules(f)
	if err != nil {
		return err
	}
	password, err := a.Secrets.Password(r.Context(), who, rules)
	if err != nil {
		return err
	}
	defer password.Wipe()
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, passwordAnswer{string(password.Reveal())})
	return nil
}

// passwordRules reads of what a password is to be made. There are no policies
// that one could name.
func passwordRules(f *fields) (secret.PasswordRules, error) {
	is := func(name string) bool {
		given := f.flag(name)
		return given != nil && *given
	}
	named := f.text("password_policy_name")
	rules := secret.PasswordRules{
		Exclude:       f.text("exclude_characters"),
		NoLowercase:   is("exclude_lowercase"),
		NoUppercase:   is("exclude_uppercase"),
		NoNumbers:     is("exclude_numbers"),
		NoPunctuation: is("exclude_punctuation"),
		Space:         is("include_space"),
		EachClass:     is("require_each_included_type"),
	}
	length, err := f.number("length")
	switch {
	case f.err != nil:
		return rules, f.err
	case named != "":
		return rules, errNoPasswordPolicy
	case err != nil:
		return rules, err
	}
	rules.Length = secret.DefaultPassword
	if length != nil {
		if *length < secret.MinPassword || *length > secret.MaxPassword {
			return rules, invalid("length")
		}
		rules.Length = int(*length)
	}
	return rules, nil
}
