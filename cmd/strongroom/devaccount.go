package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/strongroom-kms/strongroom/auth/realm"
)

// devRoles are the roles that the clients' manuals speak of, beside the ones
// that are always there.
var devRoles = []string{"creator", "observer", "audit", "key-manager:service-admin"}

// loadAccounts makes the demo project and its user, then what the file says.
func (d *devServer) loadAccounts(ctx context.Context, p *parts, file string) (err error) {
	if d.demo, err = demoAccount(filepath.Join(d.dir, "demo.json")); err != nil {
		return fmt.Errorf("demo account: %w", err)
	}
	if err := p.realm.Load(ctx, realm.Accounts{
		Roles:    devRoles,
		Projects: []string{d.demo.Project},
		Users:    []realm.Persona{d.demo},
	}); err != nil {
		return fmt.Errorf("demo account: %w", err)
	}
	project, err := projectNamed(ctx, p.realm, realm.Operator(), d.demo.Project)
	if err != nil {
		return fmt.Errorf("demo account: %w", err)
	}
	d.projectID = project.ID
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return usageError{fmt.Errorf("accounts: %w", err)}
	}
	accounts, err := realm.ReadAccounts(bytes.NewReader(text))
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", file, err)}
	}
	return p.realm.Load(ctx, accounts)
}

// demoAccount reads the folder's own user, or makes one. It is the same at
// every start, so that what was pasted once goes on working.
func demoAccount(file string) (realm.Persona, error) {
	var p realm.Persona
	b, err := os.ReadFile(file)
	if err == nil {
		return p, json.Unmarshal(b, &p)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	p = realm.Persona{
		Name: "demo", Project: "demo", Roles: []string{"admin", "creator"},
		Password:  rand.Text(),
		AccessKey: "DEMO" + rand.Text()[:16],
		SecretKey: rand.Text() + rand.Text()[:14],
	}
	// The folder protects nothing, and the user has to read it somewhere.
	if b, err = json.Marshal(p); err != nil { //nolint:gosec // G117: a password in JSON is the point
		return p, err
	}
	return p, renameio.WriteFile(file, b, 0o600)
}
