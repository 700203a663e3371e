package huawei

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/impl"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	csms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/model"
)

// token is a credential as the SDK's interface lets its users bring one: an
// access token in X-Auth-Token instead of a signature.
type token string

func (k token) ProcessAuthParams(*impl.DefaultHttpClient, string) (auth.ICredential, error) {
	return k, nil
}

func (k token) ProcessAuthRequest(_ *impl.DefaultHttpClient, r *request.DefaultHttpRequest) (*request.DefaultHttpRequest, error) {
	return r.Builder().
		AddAutoFilledPathParam("project_id", os.Getenv("OS_PROJECT_ID")).
		AddHeaderParam("X-Auth-Token", string(k)).
		Build(), nil
}

// tokenClient is client with an access token.
func tokenClient(t *testing.T) *csms.CsmsClient {
	t.Helper()
	hc, err := csms.CsmsClientBuilder().
		WithCredentialsType("huawei.token").
		WithEndpoint(os.Getenv("HUAWEICLOUD_SDK_REGION_CSMS_CN_NORTH_4")).
		WithCredential(login(t)).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return csms.NewCsmsClient(hc)
}

func login(t *testing.T) token {
	t.Helper()
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": os.Getenv("OS_USERNAME"), "password": os.Getenv("OS_PASSWORD"),
			"domain": map[string]any{"name": os.Getenv("OS_USER_DOMAIN_NAME")},
		}}},
		"scope": map[string]any{"project": map[string]any{"id": os.Getenv("OS_PROJECT_ID")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	at := strings.TrimSuffix(os.Getenv("HUAWEICLOUD_SDK_IAM_ENDPOINT"), "/") + "/v3/auth/tokens"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("login: status %d", a.StatusCode)
	}
	return token(a.Header.Get("X-Subject-Token"))
}

// noEvent sees to it that an event is not there, before the test and after it.
func noEvent(t *testing.T, c *csms.CsmsClient, name string) {
	t.Helper()
	remove := func() {
		_, err := c.DeleteSecretEvent(&model.DeleteSecretEventRequest{EventName: name})
		var e *sdkerr.ServiceResponseError
		if err != nil && (!errors.As(err, &e) || e.StatusCode != http.StatusNotFound) {
			t.Errorf("remove event %s: %v", name, err)
		}
	}
	remove()
	t.Cleanup(remove)
}
