package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/strongroom-kms/strongroom/event"
)

// NATSConfig says where a stream is.
type NATSConfig struct {
	URL     string // nats:// or tls://
	Subject string // of a stream: what no stream takes is not delivered
	// CredentialsFile is a user's, as nsc writes it; empty: none.
	CredentialsFile string
	Roots           *x509.CertPool // nil: the system's
	Allowed         Networks
	Timeout         time.Duration
}

// NATS publishes notifications to one subject.
type NATS struct {
	cfg NATSConfig

	mu   sync.Mutex
	conn *nats.Conn
	js   jetstream.JetStream
}

// NewNATS connects when there is something to tell.
func NewNATS(c NATSConfig) *NATS { return &NATS{cfg: c} }

// connected returns the connection, which it makes first. One that is lost
// comes back by itself; meanwhile sending fails, and nothing is buffered that a
// crash would lose.
func (s *NATS) connected() (jetstream.JetStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.IsClosed() {
		return s.js, nil
	}
	options := []nats.Option{
		nats.Name("strongroom"), nats.Timeout(s.cfg.Timeout), nats.SetCustomDialer(s.cfg.Allowed.dialer(s.cfg.Timeout)),
		nats.IgnoreDiscoveredServers(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
	}
	if s.cfg.Roots != nil {
		options = append(options, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.cfg.Roots}))
	}
	if s.cfg.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(s.cfg.CredentialsFile))
	}
	conn, err := nats.Connect(s.cfg.URL, options...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.conn, s.js = conn, js
	return js, nil
}

// Send implements event.Sender. It returns once the stream has the message; one
// that the stream has already, by its identifier, counts as well.
func (s *NATS) Send(ctx context.Context, n event.Notification) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	body, err := message(n)
	if err != nil {
		return err
	}
	js, err := s.connected()
	if err != nil {
		return natsTold(ctx, err)
	}
	m := &nats.Msg{Subject: s.cfg.Subject, Data: body, Header: nats.Header{"Content-Type": {mediaType}}}
	_, err = js.PublishMsg(ctx, m, jetstream.WithMsgID(n.ID), jetstream.WithRetryAttempts(0))
	return natsTold(ctx, err)
}

// natsTold adds to told what the client itself says, in words of its own.
func natsTold(ctx context.Context, err error) error {
	for _, known := range []error{
		nats.ErrNoServers, nats.ErrAuthorization, nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrTimeout,
		nats.ErrReconnectBufExceeded, jetstream.ErrNoStreamResponse, nats.ErrNoResponders,
	} {
		if errors.Is(err, known) && !errors.Is(err, event.ErrUnusable) {
			return known
		}
	}
	return told(ctx, err)
}

// Close ends the connection.
func (s *NATS) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}
