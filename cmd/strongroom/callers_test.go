package main

import (
	"testing"

	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/fault"
)

// Beside Keystone an access key is good only where an operator serves the
// built-in identity on purpose.
func TestAccessKeysBesideKeystone(t *testing.T) {
	listeners := func(dialects ...configs.Dialect) []configs.Listener {
		return []configs.Listener{{Dialects: dialects}}
	}
	for _, tc := range []struct {
		mode      configs.IdentityMode
		listeners []configs.Listener
		served    bool
	}{
		{configs.BuiltIn, listeners(configs.DialectCSMS), true},
		{configs.ByKeystone, listeners(configs.DialectCSMS), false},
		{configs.ByKeystone, listeners(configs.DialectCSMS, configs.DialectIdentity), true},
	} {
		p := &parts{realm: &realm.Service{}}
		p.cfg.Identity.Mode, p.cfg.Listeners = tc.mode, tc.listeners
		keys := p.accessKeys()
		if _, served := keys.(*realm.Service); served != tc.served {
			t.Errorf("%s with %v: %T", tc.mode, tc.listeners, keys)
		}
		if none, ok := keys.(noKeys); ok {
			if _, err := none.AccessKey(t.Context(), "AK"); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("an access key is answered %v", err)
			}
		}
	}
}

func TestCallersAreSentToTheirKeystone(t *testing.T) {
	for _, tc := range []struct {
		identity configs.Identity
		want     string
	}{
		{configs.Identity{}, ""},
		{configs.Identity{Endpoints: configs.Endpoints{Identity: "http://i"}}, "http://i/v3"},
		{configs.Identity{Mode: configs.ByKeystone, Endpoints: configs.Endpoints{Identity: "http://i"}, Keystone: configs.Keystone{URL: "http://k"}}, "http://k/v3"},
		{configs.Identity{Mode: configs.ByKeystone, Keystone: configs.Keystone{URL: "http://k", PublicURL: "http://public"}}, "http://public/v3"},
	} {
		p := &parts{}
		p.cfg.Identity = tc.identity
		if got := p.authURL(); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.identity, got, tc.want)
		}
	}
}
