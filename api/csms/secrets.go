package csms

import (
	"context"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Limits of free texts, in bytes.
const (
	maxDescription = 2048
	maxFuncURN     = 255
	maxEnterprise  = 36
)

// createSecret serves POST /v1/{project_id}/secrets.
func (a *API) createSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Secrets.MayCreate(r.Context(), who); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	sec, err := a.create(r.Context(), who, f)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}

// newSecret reads the body of a creation, in the order of csms.md §4.1: the
// shape of all members, the name, the value, the rest.
func (a *API) newSecret(f *fields) (in secret.New, err error) {
	name, val := f.text("name"), valueOf(f)
	keyID, events := f.text("kms_key_id"), f.list("event_subscriptions")
	auto := f.flag("auto_rotation")
	in = secret.New{
		Type:              "opaque", // what Barbican's clients see (DESIGN §3)
		Name:              &name,
		Description:       f.text("description"),
		Kind:              f.text("secret_type"),
		EnterpriseProject: f.text("enterprise_project_id"),
		Rotation: secret.Rotation{
			Auto:    auto != nil && *auto,
			Period:  f.text("rotation_period"),
			Config:  f.text("rotation_config"),
			FuncURN: f.text("rotation_func_urn"),
		},
	}
	if in.Kind == "" {
		in.Kind = common
	}
	if in.EnterpriseProject == "" {
		in.EnterpriseProject = defaultEnterpriseProject
	}
	switch {
	case f.err != nil:
		return in, f.err
	case name == "":
		return in, missing("name")
	case !legal(name, a.Config.AllowDotInNames):
		return in, invalid("name")
	}
	if in.Payload, in.ContentType, err = val.payload(a.Config.maxValue()); err != nil {
		return in, err
	}
	if in.Key, err = keyNamed(keyID); err != nil {
		return in, err
	}
	if err := attributes(in); err != nil {
		return in, err
	}
	in.Event, err = eventNamed(events)
	return in, err
}

// attributes checks what describes a new secret.
func attributes(in secret.New) error {
	if err := short("description", in.Description, maxDescription); err != nil {
		return err
	}
	if !knownType(in.Kind) {
		return invalid("secret_type")
	}
	if err := rotationConfigText(in.Rotation.Config); err != nil {
		return err
	}
	if err := fits(in.Payload, in.Kind, in.Rotation.Config); err != nil {
		return err
	}
	if err := rotates(in.Rotation.Auto, in.Rotation.Period); err != nil {
		return err
	}
	if err := short("rotation_func_urn", in.Rotation.FuncURN, maxFuncURN); err != nil {
		return err
	}
	return short("enterprise_project_id", in.EnterpriseProject, maxEnterprise)
}

// fits checks that a value is one for a secret of this type: that of a
// database's account has a form of its own.
func fits(value sensitive.Bytes, kind, config string) error {
	if kind == common || kind == "" { // Barbican's secrets have none
		return nil
	}
	c, err := parseRotationConfig(config)
	if err != nil {
		return err
	}
	return accounts(value, c)
}

// rotates checks a rotation as far as one request tells; what it leaves out
// may be stored already.
func rotates(auto bool, period string) error {
	if period == "" && !auto {
		return nil
	}
	_, err := secret.ParsePeriod(period)
	return err
}

// eventNamed reads event_subscriptions: none or one. Some clients write none
// as one empty name.
func eventNamed(list []string) (string, error) {
	switch {
	case len(list) == 0, len(list) == 1 && list[0] == "":
		return "", nil
	case len(list) > 1, !legal(list[0], false):
		return "", invalid("event_subscriptions")
	}
	return list[0], nil
}

// listSecrets serves GET /v1/{project_id}/secrets.
func (a *API) listSecrets(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Secrets.MayList(r.Context(), who); err != nil {
		return err
	}
	q, err := parameters(r)
	if err != nil {
		return err
	}
	in := secret.NamedQuery{After: q.Get("marker"), Event: q.Get("event_name")}
	if in.Limit, err = limitOf(q); err != nil {
		return err
	}
	if in.After != "" && !legal(in.After, true) {
		return invalid("marker")
	}
	if in.Event != "" && !legal(in.Event, false) {
		return invalid("event_name")
	}
	found, more, err := a.Secrets.ListNamed(r.Context(), who, in)
	if err != nil {
		return err
	}
	out := secretsAnswer{Secrets: []secretBody{}}
	keys := make([]string, 0, len(found))
	for _, s := range found {
		out.Secrets = append(out.Secrets, bodyOf(s))
		keys = append(keys, s.Handle)
	}
	out.PageInfo = page(keys, more)
	reply(w, http.StatusOK, out)
	return nil
}

// showSecret serves GET /v1/{project_id}/secrets/{secret_name}.
func (a *API) showSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretShow, secret.Want{})
	if err != nil {
		return err
	}
	sec, err := l.Show(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}

// updateSecret serves PUT /v1/{project_id}/secrets/{secret_name}.
func (a *API) updateSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretUpdate, secret.Want{})
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	u, err := updateOf(f)
	if err != nil {
		return err
	}
	sec, err := l.Update(r.Context(), u)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}

// updateOf reads the body of an update (csms.md §4.4). What it does not name
// stays; event_subscriptions alone is also cleared by null.
func updateOf(f *fields) (secret.Update, error) {
	u := secret.Update{
		Description: f.optional("description"),
		Auto:        f.flag("auto_rotation"),
		Period:      f.optional("rotation_period"),
		FuncURN:     f.optional("rotation_func_urn"),
	}
	keyID, events := f.text("kms_key_id"), f.list("event_subscriptions")
	if f.err != nil {
		return u, f.err
	}
	if keyID != "" {
		k, err := keyNamed(keyID)
		if err != nil {
			return u, err
		}
		u.Key = &k
	}
	if u.Description != nil {
		if err := short("description", *u.Description, maxDescription); err != nil {
			return u, err
		}
	}
	if u.Period != nil {
		if err := rotates(false, *u.Period); err != nil {
			return u, err
		}
	}
	if u.FuncURN != nil {
		if err := short("rotation_func_urn", *u.FuncURN, maxFuncURN); err != nil {
			return u, err
		}
	}
	if f.given("event_subscriptions") {
		e, err := eventNamed(events)
		if err != nil {
			return u, err
		}
		u.Event = &e
	}
	return u, nil
}

// deleteSecret serves DELETE /v1/{project_id}/secrets/{secret_name}.
func (a *API) deleteSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretDelete, secret.Want{})
	if err != nil {
		return err
	}
	if err := l.Delete(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// find finds the secret that the path names.
func (a *API) find(r *http.Request, who auth.Principal, act policy.Action, want secret.Want) (*secret.Located, error) {
	return a.Secrets.Locate(r.Context(), who, act, secret.Named(who.Project, pathName(r)), want)
}

// locate is find, and asks whether the caller may do act with the secret: so a
// refusal comes before anything that the rest of the request might be told.
// Where a rule may ask for a version or a stage, the operation must ask first.
func (a *API) locate(r *http.Request, who auth.Principal, act policy.Action, want secret.Want) (*secret.Located, error) {
	l, err := a.find(r, who, act, want)
	if err != nil {
		return nil, err
	}
	return l, l.May(r.Context(), act)
}

// sooner returns err, unless the caller may not do act anyway: who may not
// know learns nothing from what is wrong with a body.
func sooner(ctx context.Context, l *secret.Located, act policy.Action, err error) error {
	if denied := l.May(ctx, act); denied != nil {
		return denied
	}
	return err
}

// pathName is what the path calls the secret. Bytes that no database text may
// have become U+FFFD, which is in no name: such a secret is missing like any
// other.
func pathName(r *http.Request) string { return storable(mux.Vars(r)["secret_name"]) }

func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
