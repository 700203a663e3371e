package barbican

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
)

// status gives every kind of fault its HTTP status in this dialect.
// TestEveryKindHasAStatus says that none is missing.
var status = map[fault.Kind]int{
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied:          http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Exists:          http.StatusConflict,
	fault.WrongState:      http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Damaged:         http.StatusInternalServerError,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

// httpError is a fault whose answer its kind does not tell.
type httpError struct {
	fault  *fault.Error
	status int
	allow  string // of a 405
	silent bool   // description is null, as upstream's Accept negotiation has it
}

func (e *httpError) Error() string { return e.fault.Error() }
func (e *httpError) Unwrap() error { return e.fault }

var (
	errUnknownPath   = fault.New(fault.NotFound, "")
	errNotAcceptable = &httpError{status: http.StatusNotAcceptable, silent: true,
		fault: fault.New(fault.Invalid, "no acceptable media type")}
	errNotText = &httpError{status: http.StatusNotAcceptable,
		fault: fault.New(fault.Invalid, "The payload is not UTF-8 text.")}
	errNotJSON = &httpError{status: http.StatusUnsupportedMediaType,
		fault: fault.New(fault.Invalid, "The Content-Type must be application/json.")}
	errPayloadType = &httpError{status: http.StatusUnsupportedMediaType,
		fault: fault.New(fault.Invalid, "The Content-Type must be application/octet-stream or text/plain.")}
)

// errMethod is the answer to a method that a path does not have.
func errMethod(allowed string) error {
	return &httpError{status: http.StatusMethodNotAllowed, allow: allowed, fault: fault.New(fault.Invalid, "")}
}

// invalid is a request that can never succeed as sent. It must not repeat
// values: one of them may be a payload.
func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

// errorBody has all members always: a client reads title unconditionally.
type errorBody struct {
	Code        int     `json:"code"`
	Title       string  `json:"title"`
	Description *string `json:"description"`
}

// unauthorizedBody is the union of what clients expect of a 401: some know the
// token filter's form, others that of all other errors (§3.1).
type unauthorizedBody struct {
	Error struct {
		Code    int    `json:"code"`
		Title   string `json:"title"`
		Message string `json:"message"`
	} `json:"error"`
	errorBody
}

// writeFault answers in the dialect's one shape of errors, whatever Accept
// said (§6.1).
func (a *API) writeFault(w http.ResponseWriter, r *http.Request, err error) {
	kind, text := fault.KindOf(err), wire.Sentence(fault.PublicText(err))
	body := errorBody{Code: status[kind], Description: &text}
	if e, ok := errors.AsType[*httpError](err); ok {
		body.Code = e.status
		if e.silent {
			body.Description = nil
		}
		if e.allow != "" {
			w.Header().Set("Allow", e.allow)
		}
	}
	switch {
	case kind == fault.Internal:
		text = "The request failed unexpectedly. Please quote " + wire.RequestID(r.Context()) + " to the administrator."
	case kind == fault.Unavailable && text == "":
		text = "The service cannot answer now. Please try again."
	}
	body.Title = http.StatusText(body.Code)
	if kind != fault.Unauthenticated {
		wire.WriteJSON(w, body.Code, body)
		return
	}
	text = "Authentication is required."
	if a.AuthURL != "" {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", a.AuthURL))
	}
	both := unauthorizedBody{errorBody: body}
	both.Error.Code, both.Error.Title, both.Error.Message = body.Code, body.Title, text
	wire.WriteJSON(w, body.Code, both)
}
