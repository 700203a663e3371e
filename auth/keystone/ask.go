package keystone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

var (
	errAway      = errors.New("Keystone did not answer lately, and is not asked for a moment")
	errForbidden = errors.New("Keystone does not let the service user validate tokens: give it the role service in its project")
	errUnlawful  = errors.New("Keystone does not take the service user's token that it just issued")
)

// ask asks Keystone about a token. Its own one may have been revoked: then it
// logs in again, once.
func (c *Client) ask(ctx context.Context, subject string, expired bool) (answer, error) {
	own, err := c.login.token(ctx, "")
	if err != nil {
		return answer{}, err
	}
	a, err := c.askAs(ctx, own, subject, expired)
	if !errors.Is(err, errUnlawful) {
		return a, err
	}
	if own, err = c.login.token(ctx, own); err != nil {
		return answer{}, err
	}
	return c.askAs(ctx, own, subject, expired)
}

func (c *Client) askAs(ctx context.Context, own, subject string, expired bool) (answer, error) {
	query := url.Values{"nocatalog": {"1"}}
	if expired {
		query.Set("allow_expired", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL+"/v3/auth/tokens?"+query.Encode(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Auth-Token", own)
	req.Header.Set("X-Subject-Token", subject)
	req.Header.Set("Accept", "application/json")
	var a answer
	err = c.call("validate", func() error {
		var err error
		a, err = c.send(req)
		return err
	})
	return a, err
}

// send says what Keystone's answer means. A status of the request's form is
// news about the token: nothing else in the request is the caller's.
func (c *Client) send(req *http.Request) (answer, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole, or useless
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo:
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return answer{}, fmt.Errorf("read answer: %w", err)
		}
		return readAnswer(body)
	case http.StatusNotFound, http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return answer{}, errBadToken
	case http.StatusUnauthorized:
		return answer{}, errUnlawful
	case http.StatusForbidden:
		return answer{}, errForbidden
	}
	return answer{}, unexpected(resp.StatusCode)
}

// unexpected is a status that no answer of Keystone has.
type unexpected int

func (s unexpected) Error() string { return fmt.Sprintf("Keystone answered with status %d", int(s)) }

// call makes one call unless Keystone is away, and notes how it went. An answer
// that nobody likes is an answer.
func (c *Client) call(name string, do func() error) (err error) {
	began := time.Now()
	if !c.pause.admits(began) {
		return errAway
	}
	ok := false // where do panics
	defer func() {
		now := time.Now()
		c.pause.note(now, ok)
		c.cfg.Observe(name, now.Sub(began), ok)
	}()
	err = do()
	ok = answered(err)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func answered(err error) bool {
	for _, known := range []error{errBadToken, errUnlawful, errForbidden, errRefused} {
		if errors.Is(err, known) {
			return true
		}
	}
	return err == nil
}

// bounded cuts responses off that are too large to be one of Keystone's.
type bounded struct{ http.RoundTripper }

var errTooLarge = errors.New("Keystone's answer is too large")

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, maxAnswer}
	return resp, nil
}

// CloseIdleConnections is what http.Client looks for.
func (b bounded) CloseIdleConnections() {
	if t, ok := b.RoundTripper.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int // bytes
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
