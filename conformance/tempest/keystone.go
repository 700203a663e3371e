package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/e2e/keystonetest"
)

// quotaRole is what Barbican's legacy rules ask of who sets quotas.
const quotaRole = "key-manager:service-admin"

// behindKeystone is `strongroom serve` behind Debian's Keystone. The suite
// makes its projects and users itself, as an administrator of the system.
func behindKeystone(o serveOptions) start {
	return func(ctx context.Context, bin, dir string) (_ target, stop func() error, err error) {
		var running closers
		defer func() {
			if err != nil {
				err = errors.Join(err, running.close())
			}
		}()
		k, err := keystonetest.Start(ctx)
		if err != nil {
			return target{}, nil, err
		}
		running = append(running, k.Close)
		if err := k.Load(ctx, realm.Accounts{Roles: []string{quotaRole}}); err != nil {
			return target{}, nil, err
		}
		o.keystone = k
		url, stopServer, err := serve(ctx, bin, dir, o)
		if err != nil {
			return target{}, nil, err
		}
		running = append(running, stopServer)
		if err := k.Endpoint(ctx, "key-manager", "strongroom", url); err != nil {
			return target{}, nil, err
		}
		return target{
			identity: k.URL + "/v3", region: keystonetest.Region, newPolicy: o.policy == "new",
			auth: map[string]string{
				"use_dynamic_credentials": "true",
				"admin_username":          "admin",
				"admin_password":          k.AdminPassword,
				"admin_project_name":      "admin",
				"admin_domain_name":       "Default",
				"admin_system":            "all",
			},
		}, running.close, nil
	}
}

// zed are rules of an operator who wants what Barbican's secure RBAC was when
// the suite that Debian 12 has was written, in the release Zed: quotas and
// transport keys were for administrators of the system, and an administrator of
// one project was nobody in another. Today's Barbican, and barbican-new.cedar,
// let the role admin do both.
const zed = `
@id("zed/system")
forbid (
  principal,
  action in [
    Action::"project_quotas:get", Action::"project_quotas:put", Action::"project_quotas:delete",
    Action::"transport_keys:post", Action::"transport_key:delete"
  ],
  resource
);

@id("zed/own-project")
forbid (principal, action in [Action::"secret:get", Action::"secret:delete"], resource)
when { resource.project != principal.project && !resource.readers.contains(principal) };
`

// zedRules writes them to a file.
func zedRules(dir string) (string, error) {
	name := filepath.Join(dir, "zed.cedar")
	if err := os.WriteFile(name, []byte(zed), 0o600); err != nil {
		return "", fmt.Errorf("rules: %w", err)
	}
	return name, nil
}

// closers end what was started, the last first.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}
