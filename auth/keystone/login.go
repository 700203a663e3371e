package keystone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// login has the service user's own token. One caller at a time gets a new one.
type login struct {
	client *Client
	http   *http.Client
	turn   chan struct{} // whoever puts something in has it

	// Below: of whoever has the turn.
	current     string
	renew       time.Time // when to get another one
	refused     error     // the last login was
	refusedTill time.Time
}

// afterRefusal is how long a password that was refused is not tried again:
// Keystone may lock a user out who tries too often.
const afterRefusal = 30 * time.Second

var errRefused = errors.New("Keystone refuses the service user's name, password or project")

func newLogin(c *Client, h *http.Client) *login {
	return &login{client: c, http: h, turn: make(chan struct{}, 1)}
}

// token returns a token that is good for a while, and is not the one that was
// found bad.
func (l *login) token(ctx context.Context, bad string) (string, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the service user's login: %w", ctx.Err())
	}
	now := time.Now()
	if l.current != "" && l.current != bad && now.Before(l.renew) {
		return l.current, nil
	}
	if now.Before(l.refusedTill) {
		return "", l.refused
	}
	l.current = ""
	if err := l.again(ctx); err != nil {
		if errors.Is(err, errRefused) {
			l.refused, l.refusedTill = err, now.Add(afterRefusal)
		}
		return "", err
	}
	return l.current, nil
}

// again logs in. The caller has the turn.
func (l *login) again(ctx context.Context) error {
	cfg := l.client.cfg
	password, err := cfg.Password()
	if err != nil {
		return fmt.Errorf("password of the service user: %w", err)
	}
	defer password.Wipe()
	began := time.Now()
	return l.client.call("login", func() error {
		got := tokens.Create(ctx, l.service(), &gophercloud.AuthOptions{
			Username: cfg.User, Password: string(password.Reveal()), DomainName: cfg.UserDomain,
			Scope: &gophercloud.AuthScope{ProjectName: cfg.Project, DomainName: cfg.ProjectDomain},
		})
		token, err := got.ExtractToken()
		if err != nil {
			return plain(err)
		}
		if !plausible(token.ID) || !token.ExpiresAt.After(began) {
			return errNotToken
		}
		life := token.ExpiresAt.Sub(began)
		l.current, l.renew = token.ID, token.ExpiresAt.Add(-min(life/4, 5*time.Minute))
		return nil
	})
}

// service is what gophercloud makes calls with.
func (l *login) service() *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{HTTPClient: *l.http},
		Endpoint:       l.client.cfg.URL + "/v3/",
	}
}

// plain is an error without the body of the response, which its library would
// print.
func plain(err error) error {
	e, ok := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err)
	if !ok {
		return err
	}
	switch e.Actual {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return errRefused
	}
	return unexpected(e.Actual)
}
