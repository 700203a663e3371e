package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Listener is one address with what it serves.
type Listener struct {
	Name    string
	Address string
	Socket  net.Listener // bound already; nil: Listen binds Address
	TLS     *tls.Config  // nil: plain HTTP
	Handler http.Handler

	// A client that is slower than this is cut off; zero means no limit.
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration

	MaxHeader int // bytes; 0: net/http's default
}

// Server serves a number of listeners as one.
type Server struct {
	log     *zap.Logger
	running []*running
	failed  chan error
	wait    sync.WaitGroup
}

type running struct {
	Listener
	socket net.Listener
	server *http.Server
}

// Listen binds every address, so that a taken one fails the start, and begins
// to serve. Close or Shutdown ends it.
func Listen(listeners []Listener, logger *zap.Logger) (*Server, error) {
	s := &Server{log: logger, failed: make(chan error, len(listeners))}
	for _, l := range listeners {
		socket := l.Socket
		if socket == nil {
			var err error
			if socket, err = net.Listen("tcp", l.Address); err != nil {
				return nil, errors.Join(fmt.Errorf("listen for %s: %w", l.Name, err), s.Close())
			}
		}
		s.running = append(s.running, &running{l, socket, &http.Server{
			Handler:           l.Handler,
			TLSConfig:         l.TLS,
			ReadHeaderTimeout: l.ReadHeaderTimeout,
			ReadTimeout:       l.ReadTimeout,
			WriteTimeout:      l.WriteTimeout,
			IdleTimeout:       l.IdleTimeout,
			MaxHeaderBytes:    l.MaxHeader,
			ErrorLog:          log.New(connectionLog{logger.With(zap.String("listener", l.Name))}, "", 0),
		}})
	}
	for _, r := range s.running {
		s.wait.Go(func() {
			if err := r.serve(); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("serve %s: %w", r.Name, err)
			}
		})
		logger.Info("listening", zap.String("listener", r.Name), zap.Stringer("address", r.socket.Addr()))
	}
	return s, nil
}

func (r *running) serve() error {
	if r.TLS == nil {
		return r.server.Serve(r.socket)
	}
	return r.server.ServeTLS(r.socket, "", "")
}

// Failed delivers the error of a listener that stopped by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Addr returns the address that the named listener is bound to: with port 0
// configured, the one it got.
func (s *Server) Addr(name string) string {
	for _, r := range s.running {
		if r.Name == name {
			return r.socket.Addr().String()
		}
	}
	return ""
}

// Shutdown takes no new connections and waits for running requests until ctx
// is done, then cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	var drains sync.WaitGroup
	errs := make([]error, len(s.running))
	for i, r := range s.running {
		drains.Go(func() {
			if err := r.server.Shutdown(ctx); err != nil {
				errs[i] = errors.Join(fmt.Errorf("drain %s: %w", r.Name, err), r.server.Close())
			}
		})
	}
	drains.Wait()
	s.wait.Wait()
	return errors.Join(errs...)
}

// Close cuts every connection at once.
func (s *Server) Close() error {
	var errs []error
	for _, r := range s.running {
		errs = append(errs, r.server.Close())
		if err := r.socket.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.wait.Wait()
	return errors.Join(errs...)
}

// connectionLog keeps what net/http says of broken connections, which is the
// client's doing more often than ours.
type connectionLog struct{ log *zap.Logger }

func (l connectionLog) Write(b []byte) (int, error) {
	l.log.Debug("connection", zap.ByteString("message", b))
	return len(b), nil
}
