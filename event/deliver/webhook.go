package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// WebhookConfig says where a webhook is, and how requests to it are signed.
type WebhookConfig struct {
	URL string
	// Secrets has signing secrets, whsec_… in base64, one to a line. Each signs:
	// so a receiver can change from one to the next and miss nothing.
	Secrets sensitive.Bytes
	// Roots vouch for the receiver; nil: the system's.
	Roots   *x509.CertPool
	Allowed Networks
	Timeout time.Duration
}

// Webhook posts notifications to one URL.
type Webhook struct {
	url     string
	signers []*standardwebhooks.Webhook
	client  *http.Client
}

const (
	maxAnswer = 64 << 10 // of which nobody reads a word, so that a connection can be used again
	minSecret = 24       // bytes, by the standard
	maxSecret = 64
)

// NewWebhook checks the secrets; the receiver is asked when there is something
// to tell.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	h := &Webhook{url: c.URL}
	for text := range strings.FieldsSeq(string(c.Secrets.Reveal())) {
		signer, err := standardwebhooks.NewWebhook(text)
		n := len(strings.TrimRight(strings.TrimPrefix(text, "whsec_"), "=")) * 3 / 4
		if err != nil || n < minSecret || n > maxSecret { // the library's error quotes the secret
			return nil, errors.New("a signing secret is whsec_ and 24 to 64 bytes in base64")
		}
		h.signers = append(h.signers, signer)
	}
	if len(h.signers) == 0 {
		return nil, errors.New("there is no signing secret")
	}
	h.client = &http.Client{
		Timeout: c.Timeout,
		// A redirect is an answer like any other that is not 2xx: the receiver
		// does not say where else the server connects to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // not even from the environment: a proxy would resolve names behind the guard
			DialContext:            c.Allowed.dialer(c.Timeout).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			TLSHandshakeTimeout:    c.Timeout,
			ResponseHeaderTimeout:  c.Timeout,
			MaxResponseHeaderBytes: maxAnswer,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
	}
	return h, nil
}

// Close lets go of idle connections.
func (h *Webhook) Close() { h.client.CloseIdleConnections() }

// Send implements event.Sender. Any 2xx means that the receiver has it.
func (h *Webhook) Send(ctx context.Context, n event.Notification) error {
	body, err := message(n)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return told(ctx, err)
	}
	now := time.Now()
	signatures := make([]string, len(h.signers))
	for i, s := range h.signers {
		if signatures[i], err = s.Sign(n.ID, now, body); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("User-Agent", "strongroom")
	r.Header.Set(standardwebhooks.HeaderWebhookID, n.ID)
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := h.client.Do(r)
	if err != nil {
		return told(ctx, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status was the answer
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answers %d", resp.StatusCode)
	}
	return nil
}
