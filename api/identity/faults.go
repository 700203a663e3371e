package identity

import (
	"errors"
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
)

// status gives every kind of fault its HTTP status in this dialect.
// TestEveryKindHasAStatus looks for one that is missing.
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

var (
	errNoPath = fault.New(fault.NotFound, "The resource could not be found.")
	errMethod = fault.New(fault.Invalid, "The method is not allowed for the requested URL.")
)

type faultBody struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Title   string `json:"title"`
	} `json:"error"`
}

// writeFault answers as Keystone does.
func writeFault(w http.ResponseWriter, r *http.Request, err error) {
	code := status[fault.KindOf(err)]
	if errors.Is(err, errMethod) {
		code = http.StatusMethodNotAllowed
	}
	var body faultBody
	body.Error.Code = code
	body.Error.Title = http.StatusText(code)
	body.Error.Message = fault.PublicText(err)
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+origin(r)+`/v3"`)
	case http.StatusInternalServerError:
		body.Error.Message = "An unexpected error prevented the server from fulfilling your request."
	}
	if body.Error.Message == "" {
		body.Error.Message = "The service is unavailable; the same request may work later."
	}
	wire.WriteJSON(w, code, body)
}

// origin is where the client found this server.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
