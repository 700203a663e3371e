package postgres_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
)

func TestReadyWantsTheSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	db := pgtest.OpenURL(t, url)
	if err := db.Ready(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.PublicText(err), "strongroom migrate") {
		t.Errorf("Ready without a schema: %v", err)
	}
	if _, err := postgres.Migrate(t.Context(), postgres.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("Ready with the schema: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, url string
	}{
		{"a URL that cannot be read", "postgres://u:hunter2@%zz/db"},
		{"an unknown sslmode", "host=127.0.0.1 password=hunter2 sslmode=hunter2"},
		{"a server that is away", "postgres://u:hunter2@127.0.0.1:1/hunter2?sslmode=disable"},
		{"a name that is nobody's", "postgres://u:hunter2@hunter2.invalid/db"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), postgres.Config{URL: tc.url, ConnectTimeout: 2 * time.Second})
			if err == nil {
				t.Fatal("Open succeeded")
			}
			if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "127.0.0.1") {
				t.Errorf("the error tells %s", text)
			}
		})
	}
}

func TestOpenRefusesTheDriversDebugMode(t *testing.T) {
	t.Setenv("PQGO_DEBUG", "1")
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres:///x?sslmode=disable"}); err == nil || !strings.Contains(err.Error(), "PQGO_DEBUG") {
		t.Errorf("Open: %v", err)
	}
}

// A server that speaks no TLS must not get a password because the URL forgot
// to ask for TLS.
func TestTLSIsTheDefault(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	first := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		b := make([]byte, 8)
		_, _ = c.Read(b)
		first <- b
		_, _ = c.Write([]byte("N")) // no TLS here
		n, _ := c.Read(b)
		first <- b[:n]
	}()
	_, err = postgres.Open(t.Context(), postgres.Config{URL: "postgres://u:p@" + l.Addr().String() + "/d"})
	if fault.KindOf(err) == fault.Internal && err == nil {
		t.Error("Open succeeded")
	}
	if b := <-first; string(b) != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
		t.Errorf("first message %x, want SSLRequest", b)
	}
	if b := <-first; len(b) != 0 {
		t.Errorf("after the refusal came %x", b)
	}
}

// The network may swallow everything, and the caller's deadline must still be
// kept. The driver alone would wait for ever.
func TestSilentNetworkKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.URL(t))
	db := pgtest.OpenURL(t, p.url)
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.silent.Store(true)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		err := db.Ready(ctx)
		cancel()
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v for a deadline of 300ms", took)
		}
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("the error is %v", err)
		}
	}
	p.silent.Store(false)
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("when the network is back: %v", err)
	}
}

// Without a deadline of the caller, the statement's own one counts.
func TestSilentNetworkWithoutADeadline(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.URL(t))
	db, err := postgres.Open(t.Context(), postgres.Config{URL: p.url, StatementTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	p.silent.Store(true)
	start := time.Now()
	err = db.Ready(context.Background())
	if took := time.Since(start); took > 3*time.Second || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%v after %v", err, took)
	}
}

// Connections that the server has closed while they were idle are found out
// before a statement is sent there.
func TestClosedIdleConnectionsAreNotUsed(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.URL(t))
	db := pgtest.OpenURL(t, p.url)
	for range 20 {
		if err := db.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.cut()
	time.Sleep(100 * time.Millisecond) // longer than a connection counts as busy
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("after the server closed the connection: %v", err)
	}
}

func TestStatementsArePreparedOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	trips := func(ready int) uint64 {
		before := db.RoundTrips()
		for range ready {
			if err := db.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return db.RoundTrips() - before
	}
	if n := trips(1); n != 2 {
		t.Errorf("%d round trips the first time, want 2", n)
	}
	if n := trips(10); n != 10 {
		t.Errorf("%d round trips for ten more, want 10", n)
	}
}

func TestCallerThatLeftIsUnavailable(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Ready(ctx); fault.KindOf(err) != fault.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("Ready: %v", err)
	}
}
