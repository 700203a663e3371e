package csms

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

func TestEveryKindHasAnAnswer(t *testing.T) {
	for _, k := range fault.Kinds {
		if a := kinds[k]; a.status < 400 || a.code == "" {
			t.Errorf("%v: %+v", k, a)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{secret.ErrNotFound, 404, "CSMS.0106"},
		{secret.ErrNameTaken, 409, "CSMS.0101"},
		{secret.ErrNoPayload, 404, "CSMS.0005"},
		{secret.ErrNoVersion, 404, "CSMS.0005"},
		{secret.ErrNoStage, 404, "CSMS.0005"},
		{secret.ErrBuiltInStage, 400, "CSMS.0105"},
		{secret.ErrManyStages, 400, "CSMS.0203"},
		{secret.ErrManyVersions, 400, "CSMS.0907"},
		{secret.ErrPendingDelete, 400, "CSMS.0103"},
		{secret.ErrNotEnabled, 403, "CSMS.0109"},
		{secret.ErrDenied, 403, "CSMS.0302"},
		{secret.ErrTooLarge, 400, "CSMS.0002"},
		{secret.ErrNoEvent, 400, "CSMS.0005"},
		{secret.ErrPeriod, 400, "CSMS.0002"},
		{secret.ErrExpiresPast, 400, "CSMS.0002"},
		{secret.ErrStale, 503, "CSMS.0914"},
		{envelope.ErrBlob, 400, "CSMS.0910"},
		{envelope.ErrNoMasterKey, 400, "CSMS.0401"},
		{envelope.ErrKeyUnusable, 400, "CSMS.0401"},
		{envelope.ErrKEKGone, 503, "CSMS.0914"},
		{kek.ErrExhausted, 503, "CSMS.0914"},
		{wire.ErrNotObject, 400, "CSMS.0004"},
		{wire.ErrBodyCut, 400, "CSMS.0004"},
		{wire.ErrBodyTooLarge, 413, "CSMS.0913"},
		{fault.New(fault.Damaged, "the stored value does not open"), 500, "CSMS.0001"},
		{errors.New("boom"), 500, "CSMS.0001"},
		{http.ErrAbortHandler, 500, "CSMS.0001"},
	} {
		if got := answerTo(fmt.Errorf("outside: %w", tc.err)); got != (answer{tc.status, tc.code}) {
			t.Errorf("%v: %+v, want %d %s", tc.err, got, tc.status, tc.code)
		}
	}
}
