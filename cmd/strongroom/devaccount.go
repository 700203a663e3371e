package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"

	"github.com/google/renameio/v2"

	"github.com/strongroom-kms/strongroom/auth/realm"
)

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
	if b, err = json.Marshal(p); err != nil {
		return p, err
	}
	return p, renameio.WriteFile(file, b, 0o600)
}
