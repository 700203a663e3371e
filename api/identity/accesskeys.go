package identity

import (
	"encoding/json"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

// An access key has three representations. Each shows the secret in the answer
// to POST and never again; Keystone itself would show it in every answer.

// makeKey makes an access key and gives its secret to write, which must not
// keep it.
func (a *API) makeKey(w http.ResponseWriter, r *http.Request, who auth.Principal, in realm.NewAccessKey, write func(k auth.AccessKey, secret string) any) error {
	if in.User == "" {
		in.User = who.User
	}
	k, err := a.Realm.CreateAccessKey(r.Context(), who, in)
	if err != nil {
		return err
	}
	defer k.Secret.Wipe() // this copy is nobody else's: the realm opens its own
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusCreated, map[string]any{"credential": write(k, string(k.Secret.Reveal()))})
	return nil
}

// pathKey finds the key of the path; where that names a user, only that one's.
func (a *API) pathKey(r *http.Request, who auth.Principal) (auth.AccessKey, error) {
	kid, err := id(r, "key", realm.ErrNoAccessKey)
	if err != nil {
		return auth.AccessKey{}, err
	}
	k, err := a.Realm.ShowAccessKey(r.Context(), who, kid)
	if uid, named := mux.Vars(r)["user"]; err == nil && named && uid != string(k.User) {
		return auth.AccessKey{}, realm.ErrNoAccessKey
	}
	return k, err
}

func (a *API) writeKey(w http.ResponseWriter, r *http.Request, who auth.Principal, body func(auth.AccessKey) any) error {
	k, err := a.pathKey(r, who)
	if err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"credential": body(k)})
	return nil
}

func (a *API) writeKeys(w http.ResponseWriter, r *http.Request, who auth.Principal, of auth.UserID, body func(auth.AccessKey) any) error {
	all, err := a.Realm.AccessKeys(r.Context(), who, of)
	if err != nil {
		return err
	}
	a.writeList(w, r, "credentials", each(all, body))
	return nil
}

// deleteAccessKey serves DELETE on all three.
func (a *API) deleteAccessKey(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	k, err := a.pathKey(r, who)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.DeleteAccessKey(r.Context(), who, k.ID))
}

// credentialBody is Keystone's: type ec2, and a blob of JSON in a string.
type credentialBody struct {
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	UserID    string   `json:"user_id"`
	ProjectID string   `json:"project_id"`
	Blob      string   `json:"blob"`
	Links     selfBody `json:"links"`
}

func (a *API) credentialBody(r *http.Request, k auth.AccessKey, secret string) credentialBody {
	parts := map[string]string{"access": k.ID}
	if secret != "" {
		parts["secret"] = secret
	}
	blob, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings always encode
	}
	return credentialBody{k.ID, "ec2", string(k.User), string(k.Project), string(blob), a.self(r, "/v3/credentials/%s", k.ID)}
}

// createCredential serves POST /v3/credentials.
func (a *API) createCredential(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	body, err := readBody(r, "credential")
	if err != nil {
		return err
	}
	in, err := readCredential(body)
	if err != nil {
		return err
	}
	return a.makeKey(w, r, who, in, func(k auth.AccessKey, secret string) any { return a.credentialBody(r, k, secret) })
}

func readCredential(body object) (realm.NewAccessKey, error) {
	in := realm.NewAccessKey{Confined: true}
	kind, err := body.word("type")
	if err != nil {
		return in, err
	}
	if kind != "ec2" && kind != "access-key" {
		return in, body.bad("type", "ec2: other credentials are not kept here")
	}
	if in.User, in.Project, err = readOwner(body, "project_id"); err != nil {
		return in, err
	}
	blob, err := body.embedded("blob")
	if err != nil {
		return in, err
	}
	if in.ID, err = blob.word("access"); err != nil {
		return in, err
	}
	if blob.has("secret") {
		in.Secret, err = blob.secret("secret")
	}
	return in, err
}

// readOwner reads whose a credential shall be, and in which project.
func readOwner(body object, project string) (auth.UserID, auth.ProjectID, error) {
	uid, err := body.word("user_id")
	if err != nil {
		return "", "", err
	}
	pid, err := body.word(project)
	return auth.UserID(uid), auth.ProjectID(pid), err
}

// listCredentials serves GET /v3/credentials.
func (a *API) listCredentials(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	if q.elsewhere("type", "ec2") {
		a.writeList(w, r, "credentials", []any{})
		return nil
	}
	of := auth.UserID(q.Get("user_id"))
	if of == "" && !a.Realm.MayReadAll(who) {
		of = who.User // Keystone shows others nothing else
	}
	return a.writeKeys(w, r, who, of, func(k auth.AccessKey) any { return a.credentialBody(r, k, "") })
}

// showCredential serves GET /v3/credentials/{key}.
func (a *API) showCredential(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	return a.writeKey(w, r, who, func(k auth.AccessKey) any { return a.credentialBody(r, k, "") })
}

// ec2Body is Keystone's older form.
type ec2Body struct {
	Access   string   `json:"access"`
	Secret   *string  `json:"secret"`
	UserID   string   `json:"user_id"`
	TenantID string   `json:"tenant_id"`
	TrustID  *string  `json:"trust_id"`
	Links    selfBody `json:"links"`
}

func (a *API) ec2Body(r *http.Request, k auth.AccessKey) ec2Body {
	return ec2Body{
		Access: k.ID, UserID: string(k.User), TenantID: string(k.Project),
		Links: a.self(r, "/v3/users/%s/credentials/OS-EC2/%s", k.User, k.ID),
	}
}

// createEC2 serves POST /v3/users/{user}/credentials/OS-EC2. Its body has no
// member around it.
func (a *API) createEC2(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	members, err := wire.ReadObject(r)
	if err != nil {
		return err
	}
	project, err := object{members: members}.word("tenant_id")
	if err != nil {
		return err
	}
	in := realm.NewAccessKey{User: auth.UserID(uid), Project: auth.ProjectID(project), Confined: true}
	return a.makeKey(w, r, who, in, func(k auth.AccessKey, secret string) any {
		b := a.ec2Body(r, k)
		b.Secret = &secret
		return b
	})
}

// listEC2 serves GET /v3/users/{user}/credentials/OS-EC2.
func (a *API) listEC2(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	return a.writeKeys(w, r, who, auth.UserID(uid), func(k auth.AccessKey) any { return a.ec2Body(r, k) })
}

// showEC2 serves GET /v3/users/{user}/credentials/OS-EC2/{key}.
func (a *API) showEC2(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	return a.writeKey(w, r, who, func(k auth.AccessKey) any { return a.ec2Body(r, k) })
}

// permanentBody is Huawei's form.
type permanentBody struct {
	UserID      string `json:"user_id"`
	Access      string `json:"access"`
	Secret      string `json:"secret,omitempty"`
	Status      string `json:"status"`
	CreateTime  string `json:"create_time"`
	Description string `json:"description"`
}

func permanent(k auth.AccessKey) permanentBody {
	status := "inactive"
	if k.Enabled {
		status = "active"
	}
	return permanentBody{
		UserID: string(k.User), Access: k.ID, Status: status, CreateTime: stamp(k.CreatedAt), Description: k.Description,
	}
}

// createPermanent serves POST /v3.0/OS-CREDENTIAL/credentials.
func (a *API) createPermanent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	body, err := readBody(r, "credential")
	if err != nil {
		return err
	}
	var in realm.NewAccessKey
	if in.User, in.Project, err = readOwner(body, "project_id"); err != nil {
		return err
	}
	if in.Description, err = body.word("description"); err != nil {
		return err
	}
	return a.makeKey(w, r, who, in, func(k auth.AccessKey, secret string) any {
		b := permanent(k)
		b.Secret = secret
		return b
	})
}

// listPermanent serves GET /v3.0/OS-CREDENTIAL/credentials.
func (a *API) listPermanent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	of := auth.UserID(q.Get("user_id"))
	if of == "" {
		of = who.User
	}
	return a.writeKeys(w, r, who, of, func(k auth.AccessKey) any { return permanent(k) })
}

// showPermanent serves GET /v3.0/OS-CREDENTIAL/credentials/{key}.
func (a *API) showPermanent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	return a.writeKey(w, r, who, func(k auth.AccessKey) any { return permanent(k) })
}

// updatePermanent serves PUT /v3.0/OS-CREDENTIAL/credentials/{key}.
func (a *API) updatePermanent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	kid, err := id(r, "key", realm.ErrNoAccessKey)
	if err != nil {
		return err
	}
	body, err := readBody(r, "credential")
	if err != nil {
		return err
	}
	status, err := body.word("status")
	if err != nil {
		return err
	}
	var enabled *bool
	switch status {
	case "":
	case "active", "inactive":
		on := status == "active"
		enabled = &on
	default:
		return body.bad("status", "active or inactive")
	}
	description, err := body.text("description")
	if err != nil {
		return err
	}
	k, err := a.Realm.UpdateAccessKey(r.Context(), who, kid, enabled, description)
	if err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"credential": permanent(k)})
	return nil
}
