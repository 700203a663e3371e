package huawei

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	csms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1"
)

// step is one call of the SDK's client, by the name of its method.
type step struct {
	op      string
	request func(*journey) any
	status  int
	code    string              // of a fault; empty: the call succeeds
	check   func(*journey, any) // of the response; nil: the status says all
}

// journey is one way through all operations, in an order that makes sense.
type journey struct {
	*testing.T
	client *csms.CsmsClient
	name   string // of the secret, the event and the rest
	id     string // of the secret
	blob   string
	task   string
}

// subscription is to the journey's event.
func (j *journey) subscription() *[]string { return &[]string{j.name} }

// take makes one call. A panic while the SDK decodes would end the test here.
func (j *journey) take(s step) {
	j.Helper()
	out := reflect.ValueOf(j.client).MethodByName(s.op).Call([]reflect.Value{reflect.ValueOf(s.request(j))})
	err, _ := out[1].Interface().(error)
	if s.code != "" {
		var e *sdkerr.ServiceResponseError
		if !errors.As(err, &e) {
			j.Fatalf("%s: %v, want %d %s", s.op, err, s.status, s.code)
		}
		if e.StatusCode != s.status || e.ErrorCode != s.code || e.ErrorMessage == "" || e.RequestId == "" {
			j.Errorf("%s: %d %s %q, want %d %s with a message and a request ID", s.op, e.StatusCode, e.ErrorCode, e.ErrorMessage, s.status, s.code)
		}
		return
	}
	if err != nil {
		j.Fatalf("%s: %v", s.op, err)
	}
	response := out[0].Elem()
	if got := response.FieldByName("HttpStatusCode").Int(); got != int64(s.status) {
		j.Errorf("%s: status %d, want %d", s.op, got, s.status)
	}
	if s.check != nil {
		s.check(j, out[0].Interface())
	}
}

// operations are the methods of the SDK's client that send a request.
func operations() []string {
	var names []string
	client := reflect.TypeFor[*csms.CsmsClient]()
	for i := range client.NumMethod() {
		if name := client.Method(i).Name; !strings.HasSuffix(name, "Invoker") {
			names = append(names, name)
		}
	}
	return names
}

// Each operation of the client is in the table, so that a later SDK that has
// more does not pass by having them left out.
func TestEveryOperationIsCalled(t *testing.T) {
	var called []string
	for _, s := range steps {
		called = append(called, s.op)
	}
	slices.Sort(called)
	called = slices.Compact(called)
	if all := operations(); !slices.Equal(called, all) || len(all) < 45 {
		t.Errorf("called %d operations\n%v\nand the SDK has %d\n%v", len(called), called, len(all), all)
	}
}

// The whole client, with signatures and with an access token.
func TestEveryOperation(t *testing.T) {
	for _, as := range []struct {
		name   string
		client func(*testing.T) *csms.CsmsClient
	}{{"signature", client}, {"token", tokenClient}} {
		t.Run(as.name, func(t *testing.T) {
			j := &journey{T: t, client: as.client(t), name: "conformance-all-" + as.name}
			fresh(t, j.client, j.name)
			fresh(t, j.client, j.name+"-2")
			noEvent(t, j.client, j.name)
			for _, s := range steps {
				j.take(s)
			}
		})
	}
}
