package keystonetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/auth/realm"
)

var client = http.Client{Timeout: 30 * time.Second}

// Call is one request of the administrator. The path begins after /v3; into
// may be nil.
func (k *Keystone) Call(ctx context.Context, method, path string, body, into any) error {
	if k.token == "" {
		token, err := k.Login(ctx, "admin", k.AdminPassword, InProject("admin"))
		if err != nil {
			return fmt.Errorf("log in as the administrator: %w", err)
		}
		k.token = token
	}
	return k.CallAs(ctx, k.token, method, path, body, into)
}

// CallAs is Call with somebody's token.
func (k *Keystone) CallAs(ctx context.Context, token, method, path string, body, into any) error {
	_, err := k.send(ctx, method, path, body, into, "X-Auth-Token", token)
	return err
}

func (k *Keystone) send(ctx context.Context, method, path string, body, into any, headers ...string) (http.Header, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, k.URL+"/v3"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if into == nil {
		return resp.Header, nil
	}
	return resp.Header, json.Unmarshal(answer, into)
}

// object is JSON, as it goes to Keystone.
type object = map[string]any

var inDefault = object{"id": "default"}

// InProject is the scope of a project of the default domain.
func InProject(name string) any { return object{"project": object{"name": name, "domain": inDefault}} }

// InDomain is the scope of the default domain.
func InDomain() any { return object{"domain": inDefault} }

// InSystem is the scope of all.
func InSystem() any { return object{"system": object{"all": true}} }

// Unscoped is no scope, even where the user has a default project.
func Unscoped() any { return "unscoped" }

// Login returns a token of a user of the default domain.
func (k *Keystone) Login(ctx context.Context, user, password string, scope any) (string, error) {
	return k.login(ctx, object{
		"methods":  []string{"password"},
		"password": object{"user": object{"name": user, "password": password, "domain": inDefault}},
	}, scope)
}

// LoginCredential returns a token of an application credential.
func (k *Keystone) LoginCredential(ctx context.Context, id, secret string) (string, error) {
	return k.login(ctx, object{
		"methods":                []string{"application_credential"},
		"application_credential": object{"id": id, "secret": secret},
	}, nil)
}

func (k *Keystone) login(ctx context.Context, identity, scope any) (string, error) {
	auth := object{"identity": identity}
	if scope != nil {
		auth["scope"] = scope
	}
	header, err := k.send(ctx, http.MethodPost, "/auth/tokens", object{"auth": auth}, nil)
	return header.Get("X-Subject-Token"), err
}

// Revoke ends a token. It is its own witness.
func (k *Keystone) Revoke(ctx context.Context, token string) error {
	_, err := k.send(ctx, http.MethodDelete, "/auth/tokens", nil, nil, "X-Auth-Token", token, "X-Subject-Token", token)
	return err
}

// Load makes what the accounts name and Keystone lacks; access keys are not
// for it. Roles come without their implications, except for the built-in ones.
func (k *Keystone) Load(ctx context.Context, a realm.Accounts) error {
	for _, name := range a.Roles {
		if _, err := k.ensure(ctx, "role", object{"name": name}); err != nil {
			return err
		}
	}
	for _, name := range a.Projects {
		if _, err := k.Project(ctx, name); err != nil {
			return err
		}
	}
	for _, p := range a.Users {
		if err := k.persona(ctx, p); err != nil {
			return fmt.Errorf("account %s: %w", p.Name, err)
		}
	}
	return nil
}

// Project makes a project, or finds it, and returns its identifier.
func (k *Keystone) Project(ctx context.Context, name string) (string, error) {
	return k.ensure(ctx, "project", object{"name": name, "domain_id": "default"})
}

// User makes a user, or finds it, and returns its identifier.
func (k *Keystone) User(ctx context.Context, name, password string) (string, error) {
	return k.ensure(ctx, "user", object{"name": name, "password": password, "domain_id": "default"})
}

func (k *Keystone) persona(ctx context.Context, p realm.Persona) error {
	project, err := k.Project(ctx, p.Project)
	if err != nil {
		return err
	}
	user, err := k.User(ctx, p.Name, p.Password)
	if err != nil {
		return err
	}
	for _, name := range p.Roles {
		if err := k.Grant(ctx, "/projects/"+project, user, name); err != nil {
			return err
		}
	}
	return nil
}

// Grant gives a user a role at a place: /projects/ID, /domains/ID or /system.
func (k *Keystone) Grant(ctx context.Context, place, user, role string) error {
	id, err := k.ensure(ctx, "role", object{"name": role})
	if err != nil {
		return err
	}
	return k.Call(ctx, http.MethodPut, place+"/users/"+user+"/roles/"+id, nil, nil)
}

// ensure finds a thing by its name, or makes it, and returns its identifier.
func (k *Keystone) ensure(ctx context.Context, kind string, thing object) (string, error) {
	var found map[string]json.RawMessage
	path := "/" + kind + "s"
	if err := k.Call(ctx, http.MethodGet, path+"?name="+url.QueryEscape(thing["name"].(string)), nil, &found); err != nil {
		return "", err
	}
	var list []struct{ ID string }
	if err := json.Unmarshal(found[kind+"s"], &list); err != nil {
		return "", err
	}
	if len(list) > 0 {
		return list[0].ID, nil
	}
	var made map[string]struct{ ID string }
	err := k.Call(ctx, http.MethodPost, path, object{kind: thing}, &made)
	return made[kind].ID, err
}

// Endpoint puts a service of that type into the catalog, with one URL for all
// interfaces, or moves it there.
func (k *Keystone) Endpoint(ctx context.Context, kind, name, at string) error {
	service, err := k.ensure(ctx, "service", object{"name": name, "type": kind})
	if err != nil {
		return err
	}
	var there struct{ Endpoints []struct{ ID string } }
	if err := k.Call(ctx, http.MethodGet, "/endpoints?service_id="+service, nil, &there); err != nil {
		return err
	}
	for _, e := range there.Endpoints {
		if err := k.Call(ctx, http.MethodDelete, "/endpoints/"+e.ID, nil, nil); err != nil {
			return err
		}
	}
	for _, side := range []string{"public", "internal", "admin"} {
		body := object{"endpoint": object{"service_id": service, "interface": side, "region_id": Region, "url": at}}
		if err := k.Call(ctx, http.MethodPost, "/endpoints", body, nil); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keystone) makeServiceUser(ctx context.Context) error {
	password := rand.Text()
	if err := os.WriteFile(k.ServicePassword, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	return k.Load(ctx, realm.Accounts{Users: []realm.Persona{
		{Name: ServiceUser, Password: password, Project: ServiceProject, Roles: []string{ServiceRole}},
	}})
}

// Environ is what OpenStack's clients want to know, to be that user.
func (k *Keystone) Environ(user, password, project string) []string {
	return []string{
		"OS_AUTH_URL=" + k.URL + "/v3",
		"OS_IDENTITY_API_VERSION=3",
		"OS_USERNAME=" + user,
		"OS_PASSWORD=" + password,
		"OS_PROJECT_NAME=" + project,
		"OS_USER_DOMAIN_NAME=Default",
		"OS_PROJECT_DOMAIN_NAME=Default",
		"OS_REGION_NAME=" + Region,
	}
}

// Exports is Environ for a shell to source.
func Exports(environ []string) string {
	var b strings.Builder
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		b.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
	}
	return b.String()
}
