package wire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// dialect answers with the kind of the fault, so that a test can read it.
var dialect = wire.Dialect{
	Identify: func(r *http.Request) (auth.Principal, error) {
		if u := r.Header.Get("X-User"); u != "" {
			return auth.Principal{User: auth.UserID(u)}, nil
		}
		return auth.Principal{}, fault.New(fault.Unauthenticated, "who are you")
	},
	WriteFault: func(w http.ResponseWriter, _ *http.Request, err error) {
		w.WriteHeader(599)
		fmt.Fprintf(w, "%v: %s", fault.KindOf(err), fault.PublicText(err))
	},
}

// serve runs h once and returns the answer and what was logged.
func serve(t *testing.T, r *http.Request, h wire.Handler) (*httptest.ResponseRecorder, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	w := httptest.NewRecorder()
	dialect.Serve(zap.New(core), 10, h).ServeHTTP(w, r)
	return w, logs
}

func ask(body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-User", "u")
	return r.WithContext(wire.WithRequestID(r.Context(), "req-1"))
}

func TestServeTellsTheHandlerWhoAsks(t *testing.T) {
	w, logs := serve(t, ask(""), func(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
		fmt.Fprint(w, who.User, " ", wire.RequestID(r.Context()))
		return nil
	})
	if w.Code != 200 || w.Body.String() != "u req-1" || logs.Len() != 0 {
		t.Errorf("%d %q, %d log lines", w.Code, w.Body, logs.Len())
	}
}

func TestServeStopsStrangers(t *testing.T) {
	r := ask("")
	r.Header.Del("X-User")
	w, _ := serve(t, r, func(http.ResponseWriter, *http.Request, auth.Principal) error {
		t.Error("the handler ran")
		return nil
	})
	if got := w.Body.String(); got != "unauthenticated: who are you" {
		t.Errorf("answer %q", got)
	}
}

func TestServeLogsWhatSomebodyShouldLookAt(t *testing.T) {
	for _, k := range fault.Kinds {
		w, logs := serve(t, ask(""), func(http.ResponseWriter, *http.Request, auth.Principal) error {
			return fault.Wrap(k, "public", errors.New("cause"))
		})
		want := 0
		if k == fault.Internal || k == fault.Damaged || k == fault.Unavailable {
			want = 1
		}
		if logs.Len() != want {
			t.Errorf("%v: %d log lines, want %d", k, logs.Len(), want)
		}
		for _, line := range logs.All() {
			if m := line.ContextMap(); m["request"] != "req-1" || m["error"] != "public: cause" {
				t.Errorf("%v: logged %v", k, m)
			}
		}
		if got := w.Header().Get("Retry-After"); (got == "1") != (k == fault.Unavailable) {
			t.Errorf("%v: Retry-After %q", k, got)
		}
		if got, want := w.Body.String(), k.String()+": public"; got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
	}
}

func TestServeDoesNotAlarmWhenTheClientLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	_, logs := serve(t, ask("").WithContext(ctx), func(_ http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		return fmt.Errorf("find secret: %w", r.Context().Err())
	})
	if logs.Len() != 1 || logs.All()[0].Level != zapcore.InfoLevel {
		t.Errorf("logged %v", logs.All())
	}
}

func TestServeLimitsTheBody(t *testing.T) {
	for _, declared := range []int64{18, -1} { // -1: chunked
		r := ask(`{"a":"0123456789"}`)
		r.ContentLength = declared
		w, _ := serve(t, r, func(_ http.ResponseWriter, r *http.Request, _ auth.Principal) error {
			_, err := wire.ReadObject(r)
			return err
		})
		if got := w.Body.String(); !strings.HasPrefix(got, "too large: ") {
			t.Errorf("length %d: answer %q", declared, got)
		}
	}
}

// A client that asks before it sends gets the answer instead of being told to
// go on.
func TestServeDoesNotAskForABodyThatIsTooLarge(t *testing.T) {
	server := httptest.NewServer(dialect.Serve(zap.NewNop(), 10, func(_ http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		_, err := wire.ReadBody(r)
		return err
	}))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: h\r\nX-User: u\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 599") {
		t.Errorf("first line of the answer %q, %v", line, err)
	}
}

func TestServeSurvivesPanics(t *testing.T) {
	for name, bug := range map[string]func(){
		"an index out of range": func() { _ = os(ask("").URL.Path)[99] },
		"a value":               func() { panic("hunter2") },
		"an error":              func() { panic(fmt.Errorf("hunter2")) },
	} {
		t.Run(name, func(t *testing.T) {
			w, logs := serve(t, ask(""), func(http.ResponseWriter, *http.Request, auth.Principal) error {
				bug()
				return nil
			})
			if got := w.Body.String(); got != "internal: " {
				t.Errorf("answer %q", got)
			}
			if logs.Len() != 1 {
				t.Fatalf("%d log lines, want 1", logs.Len())
			}
			m := logs.All()[0].ContextMap()
			stack, _ := m["stack"].(string)
			if !strings.Contains(stack, "TestServeSurvivesPanics") {
				t.Errorf("the stack does not show where: %v", stack)
			}
			if strings.Contains(fmt.Sprint(m), "hunter2") {
				t.Errorf("the log holds the panic's value: %v", m)
			}
		})
	}
}

func os(s string) []byte { return []byte(s) }

// A client that already has a 200 must not take half a body for the whole.
func TestServeCutsAnAnswerThatBreaksHalfWay(t *testing.T) {
	srv := httptest.NewServer(dialect.Serve(zap.NewNop(), 10, func(w http.ResponseWriter, _ *http.Request, _ auth.Principal) error {
		fmt.Fprint(w, "half")
		http.NewResponseController(w).Flush()
		return errors.New("broken")
	}))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", "u")
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body strings.Builder
	if err := res.Write(&body); err == nil {
		t.Errorf("the answer looks complete: %q", body.String())
	}
}

func TestServePassesAnAbortOn(t *testing.T) {
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	serve(t, ask(""), func(http.ResponseWriter, *http.Request, auth.Principal) error {
		panic(http.ErrAbortHandler)
	})
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	wire.WriteJSON(w, 201, map[string]any{"a": "<&> é"})
	if got := w.Body.String(); w.Code != 201 || got != `{"a":"<&> é"}` {
		t.Errorf("%d %q", w.Code, got)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != "14" {
		t.Errorf("headers %v", h)
	}

	w = httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json;charset=utf8")
	wire.WriteJSON(w, 200, nil)
	if got := w.Header().Get("Content-Type"); got != "application/json;charset=utf8" || w.Body.String() != "null" {
		t.Errorf("%q %q", got, w.Body)
	}
}

func TestRequestIDIsEmptyWithoutOne(t *testing.T) {
	if got := wire.RequestID(t.Context()); got != "" {
		t.Errorf("RequestID = %q", got)
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"the secret does not exist":  "The secret does not exist.",
		"Already one":                "Already one",
		"rotation_period is too odd": "rotation_period is too odd.",
		"it ends.":                   "It ends.",
	} {
		if got := wire.Sentence(in); got != want {
			t.Errorf("Sentence(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHugeHeadersAreTheDialectsToRefuse(t *testing.T) {
	d := wire.Dialect{
		Identify: func(r *http.Request) (auth.Principal, error) {
			if len(r.Header.Get("X-Auth-Token")) > 1000 {
				return auth.Principal{}, fault.New(fault.Unauthenticated, "no")
			}
			return auth.Principal{}, nil
		},
		WriteFault: func(w http.ResponseWriter, _ *http.Request, err error) {
			_, _ = io.WriteString(w, fault.KindOf(err).String())
		},
	}
	h := d.Serve(zap.NewNop(), 10, func(w http.ResponseWriter, _ *http.Request, _ auth.Principal) error {
		_, err := io.WriteString(w, "served")
		return err
	})
	long := strings.Repeat("a", 64<<10)
	for _, tc := range []struct{ name, path, header, value, want string }{
		{"small", "/", "X-A", "a", "served"},
		{"a huge header", "/", "X-A", long, "too large"},
		{"a huge path", "/" + long, "X-A", "a", "too large"},
		{"a huge token", "/", "X-Auth-Token", long, "unauthenticated"},
	} {
		r := httptest.NewRequest(http.MethodGet, tc.path, nil)
		r.Header.Set(tc.header, tc.value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Body.String(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
