package csms

import (
	"errors"
	"net/http"
	"strings"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

// Refusals that only this dialect knows.
var (
	errNoRoute        = fault.New(fault.NotFound, "The API does not exist.")
	errMethod         = fault.New(fault.Invalid, "The API does not have this method.")
	errPath           = fault.New(fault.Invalid, "The request URL is invalid: it has an empty, . or .. segment.")
	errQuery          = fault.New(fault.Invalid, "The request URL is invalid: its query is malformed.")
	errNoCredentials  = fault.New(fault.Unauthenticated, "Incorrect IAM authentication information: x-auth-token not found")
	errForeignProject = fault.New(fault.Denied, "The project in the path cannot be used by the caller.")
	errType           = fault.New(fault.Invalid, "The request body has a member of the wrong JSON type.")
	// What only a body names and is not there is a 400 (csms.md §9.2).
	errNoPasswordPolicy = fault.New(fault.Invalid, "The password policy does not exist.")
	errStagesNamed      = fault.New(fault.Invalid, "The number of version_stages exceeds 12.")
)

// answer is a status and the code that goes with it (csms.md §9).
type answer struct {
	status int
	code   string
}

// kinds gives every kind of fault its answer in this dialect. A kind that is
// missing here would be a 500, and TestEveryKindHasAnAnswer says so.
var kinds = map[fault.Kind]answer{
	fault.Internal:        {http.StatusInternalServerError, "CSMS.0001"},
	fault.Invalid:         {http.StatusBadRequest, "CSMS.0002"},
	fault.Unauthenticated: {http.StatusUnauthorized, "APIGW.0301"},
	fault.Denied:          {http.StatusForbidden, "CSMS.0302"},
	fault.NotFound:        {http.StatusNotFound, "CSMS.0005"},
	fault.Exists:          {http.StatusConflict, "CSMS.0101"},
	fault.WrongState:      {http.StatusForbidden, "CSMS.0109"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "CSMS.0913"},
	fault.Damaged:         {http.StatusInternalServerError, "CSMS.0001"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "CSMS.0914"},
}

// sentinels are the errors that have an answer of their own. What the path
// names and is not there is 404, what only a body names is 400 (csms.md §9.2).
var sentinels = []struct {
	err error
	answer
}{
	{errNoRoute, answer{http.StatusNotFound, "APIGW.0101"}},
	{errMethod, answer{http.StatusMethodNotAllowed, "APIGW.0101"}},
	{errForeignProject, answer{http.StatusForbidden, "APIGW.0302"}},
	{errPath, answer{http.StatusBadRequest, "CSMS.0003"}},
	{errQuery, answer{http.StatusBadRequest, "CSMS.0003"}},
	{errType, answer{http.StatusBadRequest, "CSMS.0004"}},
	{errStagesNamed, answer{http.StatusBadRequest, "CSMS.0204"}},
	{wire.ErrNotObject, answer{http.StatusBadRequest, "CSMS.0004"}},
	{wire.ErrBodyCut, answer{http.StatusBadRequest, "CSMS.0004"}},
	{secret.ErrNotFound, answer{http.StatusNotFound, "CSMS.0106"}},
	{secret.ErrPendingDelete, answer{http.StatusBadRequest, "CSMS.0103"}},
	{secret.ErrScheduled, answer{http.StatusBadRequest, "CSMS.0107"}},
	{secret.ErrNotScheduled, answer{http.StatusBadRequest, "CSMS.0108"}},
	{secret.ErrManyTags, answer{http.StatusBadRequest, "CSMS.0911"}},
	{errNoPasswordPolicy, answer{http.StatusBadRequest, "CSMS.0005"}},
	{secret.ErrBuiltInStage, answer{http.StatusBadRequest, "CSMS.0105"}},
	{secret.ErrManyStages, answer{http.StatusBadRequest, "CSMS.0203"}},
	{secret.ErrManyVersions, answer{http.StatusBadRequest, "CSMS.0907"}},
	{quota.ErrReached, answer{http.StatusBadRequest, "CSMS.0202"}},
	{event.ErrNotFound, answer{http.StatusNotFound, "CSMS.0005"}},
	{event.ErrNameTaken, answer{http.StatusConflict, "CSMS.0904"}},
	{event.ErrInUse, answer{http.StatusBadRequest, "CSMS.0905"}},
	{event.ErrFull, answer{http.StatusBadRequest, "CSMS.0906"}},
	{secret.ErrNoEvent, answer{http.StatusBadRequest, "CSMS.0005"}},
	{secret.ErrTooLarge, answer{http.StatusBadRequest, "CSMS.0002"}},
	{rotation.ErrKind, answer{http.StatusBadRequest, "CSMS.0908"}},
	{secret.ErrRotating, answer{http.StatusConflict, "CSMS.0909"}},
	{rotation.ErrNoInstance, answer{http.StatusBadRequest, "CSMS.0912"}},
	{rotation.ErrConfig, answer{http.StatusBadRequest, "CSMS.0912"}},
	{rotation.ErrValue, answer{http.StatusBadRequest, "CSMS.0912"}},
	{envelope.ErrBlob, answer{http.StatusBadRequest, "CSMS.0910"}},
	{envelope.ErrNoMasterKey, answer{http.StatusBadRequest, "CSMS.0401"}},
	{envelope.ErrKeyUnusable, answer{http.StatusBadRequest, "CSMS.0401"}},
}

func answerTo(err error) answer {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.answer
		}
	}
	return kinds[fault.KindOf(err)]
}

// faultBody is the flat form, which secrets, versions and stages have. In the
// vendor's service what concerns the request rather than the secret comes from
// a gateway before it, which adds the request ID.
type faultBody struct {
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
	Request string `json:"request_id,omitempty"`
}

// nestedBody is the form of events, notification records, tags and rotate.
type nestedBody struct {
	Error faultBody `json:"error"`
}

func writeFault(w http.ResponseWriter, r *http.Request, err error) {
	a, body := faultOf(r, err)
	setRequestID(w, r)
	reply(w, a.status, body)
}

// writeNestedFault is writeFault for the other form. What comes from the
// gateway knows no forms.
func writeNestedFault(w http.ResponseWriter, r *http.Request, err error) {
	a, body := faultOf(r, err)
	setRequestID(w, r)
	if body.Request != "" {
		reply(w, a.status, body)
		return
	}
	reply(w, a.status, nestedBody{body})
}

func faultOf(r *http.Request, err error) (answer, faultBody) {
	a := answerTo(err)
	body := faultBody{Code: a.code, Message: wire.Sentence(fault.PublicText(err))}
	if body.Message == "" { // clients take an empty message for no error at all
		body.Message = "Internal error."
		if a.status == http.StatusServiceUnavailable {
			body.Message = "The service is not available at the moment."
		}
	}
	if strings.HasPrefix(a.code, "APIGW.") {
		body.Request = wire.RequestID(r.Context())
	}
	return a, body
}

func setRequestID(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", wire.RequestID(r.Context()))
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	wire.WriteJSON(w, status, v)
}
