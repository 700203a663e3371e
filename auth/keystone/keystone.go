package keystone

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

const (
	badNewsTTL = 5 * time.Second
	maxAnswers = 100_000 // remembered; some 50 MB
	maxToken   = 3 << 10 // bytes; a Fernet token has 200, and uWSGI takes 4 KiB of headers in all
	maxAnswer  = 1 << 20 // bytes of a response
)

// Config says where Keystone is, and who asks it.
type Config struct {
	URL string // without the version

	User, UserDomain       string
	Project, ProjectDomain string
	// Password is asked for at each login, so that a new one needs no restart.
	// The client wipes what it gets.
	Password func() (sensitive.Bytes, error)

	Roots    *x509.CertPool // nil: the system's
	Timeout  time.Duration  // of one validation, login included; 5 s
	CacheTTL time.Duration  // 60 s
	// ServiceRoles are the roles of which a service token needs one, in lower
	// case; "service" if empty.
	ServiceRoles []string
	// AnyService takes a valid service token without any of the roles for what
	// it is: valid, but without the right to prolong a user's token.
	AnyService bool

	Transport http.RoundTripper                              // nil: HTTP
	Observe   func(call string, took time.Duration, ok bool) // nil: nobody looks
}

// Client asks Keystone. Its methods may be called concurrently.
type Client struct {
	cfg     Config
	http    *http.Client
	login   *login
	pause   pause
	hashKey []byte // of this process
	answers *otter.Cache[answerKey, answer]
}

type answerKey [sha256.Size]byte

// answer is what Keystone said of a subject.
type answer struct {
	who     auth.Principal
	expires time.Time
	until   time.Time // when it is to be asked again
	bad     bool      // it knows no such token
}

// New makes a Client. It asks nothing yet.
func New(cfg Config) (*Client, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.CacheTTL = cmp.Or(cfg.CacheTTL, time.Minute)
	if len(cfg.ServiceRoles) == 0 {
		cfg.ServiceRoles = []string{"service"}
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, time.Duration, bool) {}
	}
	c := &Client{cfg: cfg, hashKey: make([]byte, sha256.Size)}
	_, _ = rand.Read(c.hashKey) // never fails since Go 1.24: it ends the process instead
	c.http = newHTTP(cfg, newTransport(cfg.Roots))
	// A question that meets a connection which the server just closed is asked
	// again by net/http; a login is not, so it has a connection of its own.
	once := newTransport(cfg.Roots)
	once.DisableKeepAlives = true
	c.login = newLogin(c, newHTTP(cfg, once))
	var err error
	c.answers, err = otter.New(&otter.Options[answerKey, answer]{
		MaximumSize: maxAnswers,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[answerKey, answer]) time.Duration {
			return max(time.Until(e.Value.until), 1)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	return c, nil
}

// newHTTP takes the transport unless the configuration has one.
func newHTTP(cfg Config, transport http.RoundTripper) *http.Client {
	if cfg.Transport != nil {
		transport = cfg.Transport
	}
	return &http.Client{
		Transport: bounded{transport},
		// Whoever answers in Keystone's place may not send the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
		MaxConnsPerHost:     64,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // answers are small, and their size is limited as they come
	}
}

// Close ends what runs in the background.
func (c *Client) Close() error {
	c.answers.StopAllGoroutines()
	c.http.CloseIdleConnections()
	return nil
}

var (
	errBadToken   = fault.New(fault.Unauthenticated, "The access token is not valid.")
	errBadService = fault.New(fault.Unauthenticated, "The service token is not valid.")
)

// unavailable is what a caller gets while Keystone does not help. The cause is
// for the log.
func unavailable(cause error) error {
	return fault.Wrap(fault.Unavailable, "The identity service cannot answer now. Please try again.", cause)
}

// ByToken returns whom an access token stands for. One that is not scoped to a
// project comes without one. A token that is not good is an Unauthenticated
// fault; that nobody knows is an Unavailable one.
func (c *Client) ByToken(ctx context.Context, token string) (auth.Principal, error) {
	return c.ByTokens(ctx, auth.Tokens{User: token})
}

// ByTokens is ByToken where a service may have added its own token. That one
// must be good in any case, and have one of the ServiceRoles; then the user's
// token is good for some time longer, so that long work can be finished.
func (c *Client) ByTokens(ctx context.Context, t auth.Tokens) (auth.Principal, error) {
	prolong := false
	if t.Service != "" {
		a, err := c.find(ctx, t.Service, false)
		if err != nil {
			if fault.KindOf(err) == fault.Unauthenticated {
				err = errBadService
			}
			return auth.Principal{}, err
		}
		prolong = slices.ContainsFunc(c.cfg.ServiceRoles, a.who.Has)
		if !prolong && !c.cfg.AnyService {
			return auth.Principal{}, errBadService
		}
	}
	a, err := c.find(ctx, t.User, prolong)
	return a.who, err
}

// find returns what Keystone says of a token, or said. With expired, a token
// that merely ran out is good where Keystone says so.
func (c *Client) find(ctx context.Context, token string, expired bool) (answer, error) {
	token = strings.TrimSpace(token)
	if !plausible(token) {
		return answer{}, errBadToken
	}
	key := c.key(token, expired)
	a, ok := c.answers.GetIfPresent(key)
	if !ok || !time.Now().Before(a.until) {
		var err error
		a, err = c.answers.Get(ctx, key, otter.LoaderFunc[answerKey, answer](
			func(ctx context.Context, _ answerKey) (answer, error) { return c.load(ctx, token, expired) }))
		if err != nil {
			return answer{}, err
		}
	}
	if a.bad || !expired && !time.Now().Before(a.expires) {
		return answer{}, errBadToken
	}
	return a, nil
}

// plausible tells what may be a token from what is not worth a question, and
// might break the question.
func plausible(token string) bool {
	return token != "" && len(token) <= maxToken &&
		strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// key is what an answer is found by. It tells nothing of the token to whoever
// reads it out of the memory of another process, or a dump without the key.
func (c *Client) key(token string, expired bool) answerKey {
	h := hmac.New(sha256.New, c.hashKey)
	variant := []byte{0}
	if expired {
		variant[0] = 1
	}
	h.Write(variant)
	h.Write([]byte(token))
	return answerKey(h.Sum(nil))
}

// load asks Keystone, once for all who wait: whoever came first may leave, and
// the others still get the answer.
func (c *Client) load(ctx context.Context, token string, expired bool) (answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
	defer cancel()
	began := time.Now()
	a, err := c.ask(ctx, token, expired)
	switch {
	case errors.Is(err, errBadToken):
		return answer{bad: true, until: began.Add(min(badNewsTTL, c.cfg.CacheTTL))}, nil
	case err != nil:
		return answer{}, unavailable(err)
	}
	a.until = began.Add(c.cfg.CacheTTL)
	if !expired && a.expires.Before(a.until) {
		a.until = a.expires
	}
	return a, nil
}
